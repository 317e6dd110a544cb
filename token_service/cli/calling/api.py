"""The service as commands call it: by the client package, like any other program.

What that loads is loaded at the first call.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from token_service.cli.calling import demo_file
from token_service.cli.calling.target import Target, Wishes, resolve
from token_service.cli.output import Output
from token_service.cli.problems import CliError

if TYPE_CHECKING:
    from tokenservice import (
        CallerCredentials,
        ClientAdmin,
        CodeClient,
        Connection,
        KeyAdmin,
        Listing,
        PairingClient,
        Tls,
        TokenClient,
        TrustClient,
        UserAdmin,
    )

Result = TypeVar("Result")

DEMO_ADMIN = "demo-admin"
DEMO_GATEWAY = "demo-gateway"
DEMO_WEB = "demo-web"
DEMO_MOBILE = "demo-mobile"
DEMO_API = "demo-api"

PAGE = 500
"""How much of a list to fetch at once: as much as the service gives."""

_CONNECT = timedelta(seconds=3)


class Api:
    """The clients of all services, and a caller. Connects at the first call.

    `caller` is the development server's client to call as where nobody was named, `anonymous`
    whether nobody is called as then; a command may change both until the first call. Calls may
    take `timeout` and raise `tokenservice.TokenServiceError`.
    """

    def __init__(
        self, wishes: Wishes, out: Output, *, caller: str, anonymous: bool, timeout: float
    ) -> None:
        self.out = out
        self.caller = caller
        self.anonymous = anonymous
        self.timeout = timedelta(seconds=timeout)
        self._wishes = wishes
        self._runner = asyncio.Runner()

    @cached_property
    def target(self) -> Target:
        """Where calls go, and as whom."""
        return resolve(self._wishes, self.caller, anonymous=self.anonymous)

    @cached_property
    def credentials(self) -> "CallerCredentials":
        """What proves who calls."""
        from tokenservice import Anonymous, ClientCertificate, ClientSecret

        identity = self.target.identity
        if identity is None:
            return Anonymous()
        if not identity.client_secret:
            return ClientCertificate(identity.client_id)
        return ClientSecret(identity.client_id, identity.client_secret)

    @cached_property
    def _connection(self) -> "Connection":
        """Connected: where nobody answers, that is told soon and nothing is sent."""
        from tokenservice import Connection

        target = self.target
        tls = self._tls() if target.tls else None
        connecting = Connection.connect(
            target.address.split(),
            self.credentials,
            within=min(_CONNECT, self.timeout),
            tls=tls,
            channels=1,
            allow_plaintext=tls is None,
        )
        return self.run(connecting)

    def _tls(self) -> "Tls":
        from tokenservice import Tls

        wishes = self._wishes
        if (wishes.certificate_file is None) != (wishes.key_file is None):
            raise CliError("--cert and --cert-key go together")
        for path in (wishes.ca_file, wishes.certificate_file, wishes.key_file):
            if path is not None:
                _require_readable(path)
        return Tls(wishes.ca_file, wishes.certificate_file, wishes.key_file)

    @cached_property
    def tokens(self) -> "TokenClient":
        """TokenService and SessionService."""
        from tokenservice import TokenClient

        return TokenClient(self._connection)

    @cached_property
    def clients(self) -> "ClientAdmin":
        """ClientService."""
        from tokenservice import ClientAdmin

        return ClientAdmin(self._connection)

    @cached_property
    def users(self) -> "UserAdmin":
        """UserService."""
        from tokenservice import UserAdmin

        return UserAdmin(self._connection)

    @cached_property
    def keys(self) -> "KeyAdmin":
        """KeyService."""
        from tokenservice import KeyAdmin

        return KeyAdmin(self._connection)

    @cached_property
    def codes(self) -> "CodeClient":
        """CodeService."""
        from tokenservice import CodeClient

        return CodeClient(self._connection)

    @cached_property
    def pairings(self) -> "PairingClient":
        """PairingService."""
        from tokenservice import PairingClient

        return PairingClient(self._connection)

    @cached_property
    def trust(self) -> "TrustClient":
        """TrustService."""
        from tokenservice import TrustClient

        return TrustClient(self._connection)

    def choose(self, caller: str, client_id: str = "") -> None:
        """Call as another client of the development server, the one with `client_id` if it has it,
        where nobody was named."""
        demo = None if self._wishes.client_id else demo_file.read(self._wishes.data_dir)
        self.caller = (demo.name_of(client_id) if demo and client_id else None) or caller

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for a call."""
        return self._runner.run(work)

    def each(self, items: "AsyncGenerator[Result, None]") -> Iterator[Result]:
        """Follow a stream, without a time limit."""
        try:
            while True:
                try:
                    item = self.run(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self.run(items.aclose())

    def all(self, listing: "Listing[Result]") -> list[Result]:
        """Fetch a list with all its pages."""
        return self.run(_collected(listing))

    def show_way(self) -> None:
        """Say what was called and how: for whoever wonders why nobody answers."""
        target, authorities = self.target, self._wishes.ca_file
        if not target.tls:
            self.out.note(f"called {target.address} without TLS; --ca FILE calls with it")
            return
        trusted = (
            f"the authorities in {authorities}" if authorities else "this machine's authorities"
        )
        self.out.note(f"called {target.address} with TLS; trusts {trusted} (--ca FILE: others)")

    def close(self) -> None:
        """Close the connection, if there is one."""
        if "_connection" in self.__dict__:
            self.run(self._connection.close())
        self._runner.close()


async def _next(items: AsyncGenerator[Result, None]) -> Result:
    return await anext(items)


async def _collected(listing: "Listing[Result]") -> list[Result]:
    return [item async for item in listing]


def _require_readable(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise CliError(f"cannot read {path}: {error.strerror}") from None
