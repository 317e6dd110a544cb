"""The connections of a server: how many from where, and the end of those that only cost.

The library has no call that ends a connection, and its own defence against floods of pings costs
more than the flood. So the sockets are looked at from outside, a few times a second: what they have
received is in the kernel's books, and a socket that is shut down ends its connection.
"""

import asyncio
import os
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import quote

import structlog

from token_service.domain.addresses import counted_network
from token_service.rpc.capacity import Crowd
from token_service.rpc.network.peers import Peers

PAUSE = 0.25
ALERT_PAUSE = 0.02
ALERT_SECONDS = 5.0
"""For so long after a connection was ended its successor is expected, and looked for sooner."""
FREE = 4
"""One place in so many is kept free for who comes next, as long as there are connections that no
client has called over: of these the oldest are ended, since a client calls as soon as it can."""
SHARE = 20
"""At most one part in so many of the time is spent looking."""
OTHER_FILES = 256
"""Open files that are no connections of callers: stores, logs, the library's own."""

_OPEN_FILES = "/dev/fd"
_TCP_INFO_BYTES = 136
_BYTES_RECEIVED = slice(128, 136)  # in struct tcp_info of Linux 4.1 and later

_log = structlog.stdlib.get_logger("token_service.rpc")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may be and receive. `stranger_bytes` holds until a client has called over
    the connection, and grows by `stranger_bytes_per_second` with its age. It is as much as a
    client may have sent before a busy server looks at its first call."""

    most: int = 4_000
    most_per_address: int = 1_000
    stranger_bytes: int = 1024 * 1024
    stranger_bytes_per_second: int = 16 * 1024


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection at one moment. `peer` is the library's name for the other side."""

    file: int
    peer: str
    address: str
    received: int


class Connections:
    """Looks after the connections of the server that listens on `port`."""

    def __init__(self, port: int, peers: Peers, limits: ConnectionLimits) -> None:
        self._port = port
        self._peers = peers
        peers.watching = True
        self._limits = limits
        self._since: dict[str, float] = {}
        self._ending: dict[int, int] = {}
        self._crowd = Crowd(lambda ended: _log.warning("connections_ended", connections=ended))

    async def watch(self, tend: Callable[[], None]) -> None:
        """Look again and again, until cancelled; at once when a connection is to be ended. Calls
        `tend` each time, also while there is no looking: the system may be out of files."""
        alert_until, pause = 0.0, PAUSE
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._peers.condemning.wait()
            tend()
            self._remind()
            began = time.monotonic()
            try:
                found, took = await asyncio.to_thread(_timed, self._port)
            except OSError as error:
                self._cannot_look(error)
                pause = PAUSE
                continue
            self._peers.watching = True
            for connection, reason in self.superfluous(found, began):
                alert_until = began + ALERT_SECONDS
                self._end(connection, reason)
            pause = max(ALERT_PAUSE if began < alert_until else PAUSE, SHARE * took)

    def _cannot_look(self, error: OSError) -> None:
        """Hold nothing against connections that nobody would end."""
        if self._peers.watching:
            _log.warning("connections_not_watched", error=type(error).__name__)
        self._peers.watching = False
        self._peers.forget()

    def superfluous(
        self, found: Sequence[Connection], now: float
    ) -> Iterable[tuple[Connection, str]]:
        """Which of the connections found at `now` (monotonic seconds) have to end, and why."""
        peers, since = self._peers, self._since
        self._since = {one.peer: since.get(one.peer, now) for one in found}
        peers.keep(self._since)
        # The older ones count first, so that a crowd keeps out itself and not those before it.
        oldest = sorted(found, key=lambda one: self._since[one.peer])
        from_address: Counter[str] = Counter()
        left = []
        for one in oldest:
            from_address[one.address] += 1
            if peers.condemned(one.peer):
                yield one, "calls that come to nothing"
            elif from_address[one.address] > self._limits.most_per_address:
                yield one, "too many from one address"
            elif not peers.knows(one.peer) and one.received > self._allowed(one.peer, now):
                yield one, "too much without a client"
            else:
                left.append(one)
        most = self._limits.most
        too_many = max(0, len(left) - (most - most // FREE))
        strangers = (one for one in left if not peers.knows(one.peer))
        for one in islice(strangers, too_many):
            yield one, "too many without a client"

    def _allowed(self, peer: str, now: float) -> float:
        limits, age = self._limits, now - self._since[peer]
        return limits.stranger_bytes + limits.stranger_bytes_per_second * age

    def _end(self, connection: Connection, reason: str) -> None:
        with suppress(OSError):
            inode = os.fstat(connection.file).st_ino
            if not shut_down(connection):
                return
            self._ending[connection.file] = inode
            if self._crowd.is_first():
                _log.warning("connection_ended", reason=reason, address=connection.address)

    def _remind(self) -> None:
        """Shut ended sockets down again until the library has closed them: it overlooks an end that
        comes together with the last data, since the kernel tells it that nothing is left to read
        (Linux tells so of ends by the other side only)."""
        self._ending = {
            file: inode for file, inode in self._ending.items() if shut_down_again(file, inode)
        }


def _timed(port: int) -> tuple[list[Connection], float]:
    """The connections, and the processor's time in seconds that it took to find them."""
    began = time.thread_time()
    return connections_of(port), time.thread_time() - began


def connections_of(port: int) -> list[Connection]:
    """The connections of this process's callers to its own `port`."""
    found = []
    for name in os.listdir(_OPEN_FILES):  # noqa: PTH208 - in half of the time
        with suppress(OSError):  # no socket, or closed meanwhile
            connection = _connection(int(name), port)
            if connection is not None:
                found.append(connection)
    return found


def shut_down(connection: Connection) -> bool:
    """End a connection, if it is still the same. Both sides notice as if the other had hung up."""
    with suppress(OSError), _held(connection.file) as held:
        if _name(held.getpeername()) == connection.peer:
            held.shutdown(socket.SHUT_RDWR)
            return True
    return False


def shut_down_again(file: int, inode: int) -> bool:
    """Wake whoever polls this socket; False when it is another by now, or none."""
    with suppress(OSError), _held(file) as held:
        if os.fstat(held.fileno()).st_ino == inode:
            with suppress(OSError):  # it is not connected any more, and wakes them all the same
                held.shutdown(socket.SHUT_RDWR)
            return True
    return False


def _held(file: int) -> socket.socket:
    """The socket with a file of our own on it: the library may close its file at any moment, and
    the next one that is opened has its number then. Raises OSError."""
    own = os.dup(file)
    try:
        return socket.socket(fileno=own)
    except OSError:
        os.close(own)
        raise


def affordable(connections: int) -> int:
    """As many connections as the process may open files for: the limit of files is raised as far
    as the system allows, so that the stores can still be reached when all connections are taken."""
    wanted = connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    _log.warning("connections_limited_by_files", connections=soft - OTHER_FILES, files=soft)
    return max(1, soft - OTHER_FILES)


def _connection(file: int, port: int) -> Connection | None:
    """Without a file of our own on the socket, which would keep it open when the library closes
    it."""
    borrowed = socket.socket(fileno=file)
    try:
        if borrowed.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        if borrowed.type != socket.SOCK_STREAM or borrowed.getsockname()[1] != port:
            return None
        name = borrowed.getpeername()
        return Connection(file, _name(name), counted_network(_host(name)), _received(borrowed))
    finally:
        borrowed.detach()


def _host(name: tuple[Any, ...]) -> str:
    """The address as the library tells it: of an IPv4 caller without the IPv6 around it, of a
    link-local one with its zone (RFC 4007), which is the fourth part of an IPv6 name."""
    host = str(name[0]).removeprefix("::ffff:")
    zone = name[3] if len(name) > 3 else 0
    return f"{host}%{zone}" if zone else host


def _name(name: tuple[Any, ...]) -> str:
    host = _host(name)
    return f"ipv6:%5B{quote(host, ':')}%5D:{name[1]}" if ":" in host else f"ipv4:{host}:{name[1]}"


def _received(connection: socket.socket) -> int:
    if not hasattr(socket, "TCP_INFO"):
        return 0
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    return int.from_bytes(info[_BYTES_RECEIVED], sys.byteorder)
