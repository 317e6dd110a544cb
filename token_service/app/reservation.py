"""One port for several processes, theirs from before the first to after the last."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from token_service.app.errors import StartupError

_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on


@contextmanager
def reserved(listen: str) -> Iterator[str]:
    """Hold the port of `host:port` for processes that listen there with SO_REUSEPORT; the address
    with the number that port 0 became. Nothing is accepted here.

    Raises StartupError where the address is not of this machine or somebody else's, be it another
    instance of ours: sharing the calls with that would not be noticed.
    """
    host, _, port = listen.rpartition(":")
    with ExitStack() as stack:
        held: list[socket.socket] = []
        try:
            number = _hold(host.strip("[]"), int(port), held)
        except OSError as error:
            raise StartupError(
                f"TOKEN_SERVICE_GRPC_LISTEN: cannot listen on {listen}: {error.strerror or error}"
            ) from error
        finally:
            for one in held:
                stack.callback(one.close)
        yield f"{host}:{number}"


def _hold(host: str, number: int, held: list[socket.socket]) -> int:
    """Bind every address of the host to the same port, and return that. Raises OSError where that
    is possible for none, or where one is taken."""
    failure: OSError | None = None
    for family, place in _addresses(host):
        try:
            _require_free(family, (place, number))
            held.append(_bound(family, (place, number), socket.SO_REUSEPORT))
        except OSError as error:
            failure = error
            if error.errno == errno.EADDRINUSE:
                raise
            continue  # as where the host has no IPv6
        number = held[-1].getsockname()[1]
        if host in _EVERYWHERE:
            break
    if not held:
        raise failure or OSError("the name has no address")
    return number


def _addresses(host: str) -> list[tuple[int, str]]:
    if host in _EVERYWHERE:  # gRPC takes both for IPv6 and IPv4 alike
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]  # noqa: S104
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(place[0])) for family, *_, place in found))


def _require_free(family: int, place: tuple[str, int]) -> None:
    """Without SO_REUSEPORT, an address that anybody listens on cannot be bound."""
    if place[1]:
        _bound(family, place, socket.SO_REUSEADDR).close()


def _bound(family: int, place: tuple[str, int], sharing: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, sharing, 1)
        if family == socket.AF_INET6 and place[0] == "::":
            with suppress(OSError):
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(place)
    except OSError:
        made.close()
        raise
    return made
