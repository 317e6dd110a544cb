"""Channels to the token service, and the caller's credentials on each call.

::

    async with Connection(
        "tokens.internal:50051", ClientSecret("shop-gateway", secret), tls=Tls()
    ) as connection:
        client = TokenClient(connection)

Open one per process and event loop, after any fork, and share it: a client, a validator and
token sources all take it.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypedDict, Unpack

import grpc

from tokenservice._errors import Unreachable
from tokenservice._times import seconds_of
from tokenservice._transport.addresses import bare_address, is_local, lacks_port
from tokenservice._transport.channels import ChannelSettings, open_channel
from tokenservice._transport.credentials import CallerCredentials, ClientCertificate, Renewable
from tokenservice._transport.environment import read as read_environment
from tokenservice._transport.hints import hint_of
from tokenservice._transport.lanes import Lanes, Stubs
from tokenservice._transport.tls import RenewedTls, Tls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Connection", "ConnectionOptions", "Metadata", "Stubs", "Tls"]

Metadata: TypeAlias = tuple[tuple[str, str], ...]

DEFAULT_CHANNELS: Final = 4

CONNECT_WITHIN: Final = timedelta(seconds=10)

_CLIENT_ID_KEY: Final = "x-client-id"


class ConnectionOptions(TypedDict, total=False):
    """What :class:`Connection` takes besides targets and credentials, for those who make one."""

    tls: Tls | None
    channels: int
    allow_plaintext: bool
    authority: str
    trust_env: bool


class Connection:
    """Several channels to one or more servers, used in turn; a server that is down is passed over.

    ``targets`` are ``host:port``, ``unix:/path`` or names in gRPC's own form. ``channels`` is the
    number per target: the kernel gives each to one worker of a server, so take two to four times
    as many as it has workers. Without ``tls`` only servers on this machine are called, unless
    ``allow_plaintext`` says that the network may read passwords and tokens.

    ``authority`` is the host that calls name (``:authority``): what proxies choose the service by,
    and what the server's certificate must be for, unless ``tls.server_name`` says otherwise. By
    default it is the target's host and port, "localhost" for a Unix socket, and the first address
    of a list such as ``ipv4:10.0.0.1:443,10.0.0.2:443``.

    The proxies that the environment names (``grpc_proxy``, ``https_proxy``, ``no_proxy``) are used
    with TLS and for other machines only, and with ``trust_env=False`` not at all. Private networks
    are other machines.

    Raises ValueError for targets that cannot be called so. Nothing is opened before the first
    use; that fixes the event loop and the process, and use in another raises RuntimeError.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        tls: Tls | None = None,
        channels: int = DEFAULT_CHANNELS,
        allow_plaintext: bool = False,
        authority: str = "",
        trust_env: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets = _checked(targets, tls, allow_plaintext=allow_plaintext)
        if channels < 1:
            raise ValueError("at least one channel is needed")
        if isinstance(credentials, ClientCertificate) and (tls is None or tls.certificate is None):
            raise ValueError("calling by certificate needs tls with a certificate")
        self._credentials = credentials
        self._tls = RenewedTls(tls, clock) if tls is not None else None
        self._settings = ChannelSettings(authority, tls.server_name if tls else "", trust_env)
        self._channels = channels
        self._lanes: Lanes | None = None
        self._clock = clock
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._closed = False

    @classmethod
    async def connect(
        cls,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        within: timedelta = CONNECT_WITHIN,
        **options: Unpack[ConnectionOptions],
    ) -> Self:
        """Make one and wait until a server is connected, for programs that are to fail at their
        start. Nothing is sent: who calls is checked with the first call.

        Raises Unreachable, with a ``hint``, when none could be reached ``within`` that time.
        """
        connection = cls(targets, credentials, **options)
        try:
            await connection.ready_stubs(within)
        except BaseException:
            await connection.close()
            raise
        return connection

    @classmethod
    def from_env(
        cls, variables: Mapping[str, str] | None = None, **options: Unpack[ConnectionOptions]
    ) -> Self:
        """Make one as the environment says, by the names that the command line reads too.

        ``TOKEN_SERVICE_SERVER`` is a target, or several with blanks between them;
        ``TOKEN_SERVICE_CLIENT_ID`` is the caller, and ``TOKEN_SERVICE_CLIENT_SECRET`` or
        ``TOKEN_SERVICE_CLIENT_SECRET_FILE`` its secret. ``TOKEN_SERVICE_CA_FILE``,
        ``TOKEN_SERVICE_CERTIFICATE_FILE`` and ``TOKEN_SERVICE_KEY_FILE`` are for TLS, which is
        used for servers on other machines and for ``https://`` in any case. What ``options`` say
        comes first; ``variables`` stands for ``os.environ``. Raises ValueError, which names the
        variable that is missing or unusable and shows no secret.
        """
        targets, credentials, tls = read_environment(variables)
        options.setdefault("tls", tls)
        return cls(targets, credentials, **options)

    def __repr__(self) -> str:
        return f"Connection({', '.join(self._targets)})"

    @property
    def credentials(self) -> CallerCredentials:
        """As whom it calls."""
        return self._credentials

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channels; calls in flight are cancelled. May be called again."""
        self._closed = True
        lanes, self._lanes = self._lanes, None
        if lanes is not None:
            await lanes.close()

    @property
    def targets(self) -> tuple[str, ...]:
        """The servers, as they were given."""
        return self._targets

    def stubs(self) -> Stubs:
        """Give the stubs of the next channel, passing over servers that do not answer."""
        return self._open().next().stubs

    def failed(self, stubs: Stubs, error: Unreachable) -> None:
        """Take note that a call by these stubs was not answered: others come first for a while.
        Adds to the error where that was, and what to look at.

        A server that went silent still looks connected, until the keepalive finds out.
        """
        lane = None if self._lanes is None else self._lanes.of(stubs)
        if self._lanes is not None and lane is not None:
            self._lanes.suspect(lane)
        if not error.request_id:
            self._explain(error, self._targets if lane is None else (lane.target,))

    def current(self, stubs: Stubs) -> bool:
        """Whether the channel of these stubs is still the one to use, so that a stream need not
        move: files of ``tls`` may have been renewed."""
        return self._closed or self._open().of(stubs) is not None

    def raise_if_replaced(self) -> None:
        """Raise Unreachable if a call was cancelled because its channel was replaced long ago.

        Not if :meth:`close` did it, or whoever cancelled the task that waits for it.
        """
        task = asyncio.current_task()
        if self._closed or task is None or task.cancelling():
            return
        text = "its channel was replaced"
        raise Unreachable("", text, grpc.StatusCode.CANCELLED) from None

    async def ready_stubs(self, within: timedelta) -> Stubs:
        """Give the stubs of a channel that is connected, waiting for one ``within`` that time.

        Raises Unreachable when no server could be reached: then nothing has been sent.
        """
        lanes = self._open()
        stubs = await lanes.ready_stubs(seconds_of(within, "within"))
        if stubs is not None:
            return stubs
        cause = await lanes.cause()
        message = f"no server can be reached: {cause}" if cause else "no server can be reached"
        error = Unreachable("", message, grpc.StatusCode.UNAVAILABLE)
        self._explain(error, self._targets)
        raise error

    async def metadata(self) -> Metadata:
        """Give the caller's authorization as of now. Raises TokenServiceError."""
        credentials = self._credentials
        if isinstance(credentials, ClientCertificate):
            return ((_CLIENT_ID_KEY, credentials.client_id),)
        authorization = await credentials.authorization()
        return (("authorization", authorization),) if authorization else ()

    def rejected(self, metadata: Metadata) -> bool:
        """Take note that the service does not know the caller by this metadata.

        Returns whether asking for it again may give a better one.
        """
        credentials = self._credentials
        if not isinstance(credentials, Renewable):
            return False
        for _, authorization in metadata:
            credentials.rejected(authorization)
        return True

    def _explain(self, error: Unreachable, tried: tuple[str, ...]) -> None:
        error.targets = tried
        error.hint = hint_of(
            error.message,
            secure=self._tls is not None,
            lacks_port=any(lacks_port(target) for target in tried),
        )

    def _open(self) -> Lanes:
        home = (os.getpid(), asyncio.get_running_loop())
        if self._closed:
            raise RuntimeError("the connection is closed")
        if self._lanes is None:
            self._lanes = Lanes(self._targets, self._channels, self._channel, self._clock)
            self._home = home
        if self._home != home:
            raise RuntimeError(
                "the connection was opened in another process or event loop; open one in each"
            )
        if self._tls is not None and self._tls.renewed():
            self._lanes.replace()
        return self._lanes

    def _channel(self, target: str, patient: bool) -> grpc.aio.Channel:
        credentials = None if self._tls is None else self._tls.credentials()
        return open_channel(target, credentials, self._settings, patient=patient)


def _checked(
    targets: str | Sequence[str], tls: Tls | None, *, allow_plaintext: bool
) -> tuple[str, ...]:
    listed = (targets,) if isinstance(targets, str) else tuple(targets)
    if not listed or not all(listed):
        raise ValueError("no server to call")
    checked = tuple(bare_address(target, secure=tls is not None) for target in listed)
    if tls is None and not allow_plaintext:
        for target in checked:
            if not is_local(target):
                raise ValueError(
                    f"{target} is not on this machine: secrets would travel in the clear; "
                    "give tls=Tls(…), or allow_plaintext=True"
                )
    return checked
