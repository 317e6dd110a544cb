"""Sockets for a `host:port`, on as many kinds of address as the host has."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

Place = tuple[str, int]
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on


@contextmanager
def bound(
    listen: str, *options: int, first: Callable[[int, Place], None] = lambda _family, _place: None
) -> Iterator[list[socket.socket]]:
    """Bind every address of `host:port` to the same port, each with the socket options; they are
    closed with the block. `first` is called with each family and place before.

    An address that this machine lacks, as IPv6 where there is none, is left out. Raises OSError
    where that is so for all of them, or where one is taken.
    """
    host, _, port = listen.rpartition(":")
    with ExitStack() as stack:
        held: list[socket.socket] = []
        number, failure = int(port), OSError("the name has no address")
        for family, address in _addresses(host.strip("[]")):
            try:
                first(family, (address, number))
                held.append(stack.enter_context(_bound(family, (address, number), *options)))
            except OSError as error:
                failure = error
                if error.errno == errno.EADDRINUSE:
                    raise
                continue
            number = held[-1].getsockname()[1]
            if address in _EVERYWHERE:
                break
        if not held:
            raise failure
        yield held


def require_free(family: int, place: Place) -> None:
    """Raises OSError where anybody listens there. One who listens with SO_REUSEPORT is noticed
    only like this."""
    if place[1]:
        _bound(family, place, socket.SO_REUSEADDR).close()


def _addresses(host: str) -> list[tuple[int, str]]:
    if host in _EVERYWHERE:  # gRPC takes both for IPv6 and IPv4 alike
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]  # noqa: S104
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(place[0])) for family, *_, place in found))


def _bound(family: int, place: Place, *options: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            # Where the address is everywhere, IPv4 as well; else it must not be in IPv4's way.
            with suppress(OSError):
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(place[0] != "::"))
        made.bind(place)
    except OSError:
        made.close()
        raise
    return made
