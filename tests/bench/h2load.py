"""Throughput as a load generator in C sees it, where h2load is installed.

h2load counts an HTTP 200 as success, and gRPC answers 200 whatever the status: so the server's own
counters are read before and after, and every single call must have ended OK.
"""

import re
import shutil
import subprocess
import urllib.request
from pathlib import Path


def available() -> bool:
    """Whether h2load is installed."""
    return shutil.which("h2load") is not None


def calls_per_second(
    address: str, method: str, request: bytes, authorization: str, metrics: str, folder: Path
) -> float:
    """Calls per second at 64 in flight. Raises RuntimeError when one did not end OK."""
    count = 10_000
    body = folder / "h2load.body"
    body.write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
    # The credentials are those of a throw-away database on this machine.
    headers = ["content-type: application/grpc", "te: trailers", f"authorization: {authorization}"]
    command = ["h2load", "-n", str(count), "-c", "4", "-m", "16", "-d", str(body)]
    command += [part for header in headers for part in ("-H", header)]
    before = ended_ok(metrics, method)
    result = subprocess.run(
        [*command, f"http://{address}{method}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    ended = ended_ok(metrics, method) - before
    if ended != count:
        raise RuntimeError(f"h2load: {ended} of {count} calls ended OK")
    found = re.search(r"([0-9.]+) req/s", result.stdout)
    if found is None:
        raise RuntimeError("h2load did not tell the rate")
    return float(found[1])


def ended_ok(metrics: str, method: str) -> int:
    """How many calls of the method have ended with OK so far, by the server's own count."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    line = f'token_service_rpc_calls_total{{code="OK",method="{method}"}} '
    alternative = f'token_service_rpc_calls_total{{method="{method}",code="OK"}} '
    for row in text.splitlines():
        if row.startswith((line, alternative)):
            return int(float(row.rpartition(" ")[2]))
    return 0
