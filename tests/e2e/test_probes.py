"""The probes of docs/operations.md, asked as a kubelet asks them."""

import re
from http.client import HTTPConnection

from tests.bench.processes import free_port
from tests.support.fixtures import StartServer
from tests.support.servers import ROOT

PROBE = re.compile(r"^(\w+)Probe:\n  httpGet: \{path: (/\w+), port: \d+\}$", re.MULTILINE)


def test_a_pod_with_the_documented_probes_is_live_and_ready(start_server: StartServer) -> None:
    documented = PROBE.findall((ROOT / "docs/operations.md").read_text())
    assert {name for name, _ in documented} == {"startup", "readiness", "liveness"}
    port = free_port()
    start_server(metrics_listen=f"127.0.0.1:{port}")
    for _, path in documented:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path, headers={"User-Agent": "kube-probe/1.33"})
        assert connection.getresponse().status == 200
        connection.close()
