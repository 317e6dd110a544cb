"""One port for several processes, theirs from before the first to after the last."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from token_service.app.endpoints.binding import bound, require_free
from token_service.app.errors import StartupError


@contextmanager
def reserved(listen: str) -> Iterator[str]:
    """Hold the port of `host:port` for processes that listen there with SO_REUSEPORT; the address
    with the number that port 0 became. Nothing is accepted here.

    Raises StartupError where the address is not of this machine or somebody else's, be it another
    instance of ours: sharing the calls with that would not be noticed.
    """
    options = (socket.SO_REUSEPORT, socket.SO_REUSEADDR)
    with ExitStack() as stack:
        try:
            held = stack.enter_context(bound(listen, *options, first=require_free))
        except OSError as error:
            raise StartupError(
                f"TOKEN_SERVICE_GRPC_LISTEN: cannot listen on {listen}: {error.strerror or error}"
            ) from error
        # Connections of a server that has just ended linger for a minute, and must not be in the
        # way. Once it is bound the socket may not be passed over like them.
        for one in held:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield f"{listen.rpartition(':')[0]}:{held[0].getsockname()[1]}"
