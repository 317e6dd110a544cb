"""A network namespace, whose packets can be lost in silence as on a broken switch. Root only."""

import ctypes
import ipaddress
import itertools
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.support.programs import lacking, program

_CLONE_NEWNET = 0x40000000
_NOBODY_THERE = "02:00:00:00:00:01"
_BENCHMARKS = ipaddress.ip_network("198.18.0.0/15")
"""Set aside for such purposes (RFC 2544); no host of a real network has these addresses."""

_numbers = itertools.count()
Given = TypeVar("Given")


def lacking_namespaces() -> str:
    """Why there are no namespaces here; empty where there are."""
    return lacking("ip", root="make network namespaces") or _refused()


def _refused() -> str:
    """Containers often may not, even as root."""
    name = f"tokensvc-probe-{os.getpid()}"
    if _ip("netns", "add", name, check=False):
        return "this machine lets nobody make network namespaces"
    _ip("netns", "del", name)
    return ""


class Namespace:
    """Two addresses with a wire between them: `here` is outside, `address` inside."""

    def __init__(self) -> None:
        """Drawn by process, so that several test runs get along."""
        number = (os.getpid() * 64 + next(_numbers)) % (_BENCHMARKS.num_addresses // 4)
        self._name = f"tokensvc-{number}"
        self._wire = f"tsvc{number}"
        network = ipaddress.ip_network((int(_BENCHMARKS.network_address) + number * 4, 30))
        self.here, self.address = map(str, network.hosts())

    def __enter__(self) -> Self:
        _ip("netns", "add", self._name)
        try:
            _ip("link", "add", self._wire, "type", "veth", "peer", "eth0", "netns", self._name)
            _ip("addr", "add", f"{self.here}/30", "dev", self._wire)
            _ip("link", "set", self._wire, "up")
            self._inside("addr", "add", f"{self.address}/30", "dev", "eth0")
            self._inside("link", "set", "eth0", "up")
            self._inside("link", "set", "lo", "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the wire away. Processes inside must have ended."""
        _ip("link", "del", self._wire, check=False)
        _ip("netns", "del", self._name)

    def run(self, work: Callable[[], Given]) -> Given:
        """Call `work` inside; the processes and threads that it starts stay there."""
        given: list[Given] = []
        failures: list[BaseException] = []

        def inside() -> None:
            try:
                self._enter()
                given.append(work())
            except BaseException as error:  # noqa: BLE001 - the caller's thread gets it
                failures.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return given[0]

    def cut(self) -> None:
        """Lose every packet in both directions; nobody is told."""
        self._neighbours("replace", "lladdr", _NOBODY_THERE, "nud", "permanent")

    def mend(self) -> None:
        """Let packets through again."""
        self._neighbours("del")

    def _neighbours(self, action: str, *about: str) -> None:
        _ip("neigh", action, self.address, "dev", self._wire, *about)
        self._inside("neigh", action, self.here, "dev", "eth0", *about)

    def _inside(self, *arguments: str) -> None:
        _ip("-n", self._name, *arguments)

    def _enter(self) -> None:
        """Move the calling thread alone."""
        with (Path("/run/netns") / self._name).open() as place:
            if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _CLONE_NEWNET):
                number = ctypes.get_errno()
                raise OSError(number, f"setns: {os.strerror(number)}")


def _ip(*arguments: str, check: bool = True) -> int:
    done = subprocess.run([program("ip"), *arguments], check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.returncode
