"""Validation for threads: WSGI applications, sync gRPC servers, scripts.

::

    with SyncValidator.connect(targets, ClientSecret("shop-gateway", secret)) as validator:
        decision = validator.validate(token, audience="orders", scopes=["orders.read"])

What can be decided here is decided on the calling thread; the trust feed is followed, and the
server asked, on a thread of the validator's own. Servers that fork their workers make it in the
worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from tokenservice._sync.background_loop import BackgroundLoop
from tokenservice._transport.connection import CONNECTION_OPTIONS, Connection
from tokenservice._validator.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import timedelta

    from tokenservice._decisions.decision import Decision, OnStale
    from tokenservice._transport.credentials import CallerCredentials
    from tokenservice._validator.assembled import AssembledValidator


class SyncValidator:
    """The methods of :class:`tokenservice.Validator` for any number of threads.

    ``loop`` runs ``asynchronous``, which is not to be used elsewhere.
    """

    def __init__(self, asynchronous: AssembledValidator, loop: BackgroundLoop) -> None:
        self.asynchronous = asynchronous
        self.loop = loop
        self._try_local = asynchronous.try_local
        self._closing: Callable[[], None] = lambda: None

    @classmethod
    def connect(
        cls,
        targets: str | Sequence[str],
        credentials: CallerCredentials,
        *,
        loop: BackgroundLoop | None = None,
        **options: Any,  # noqa: ANN401 - Connection and Validator say which
    ) -> Self:
        """Make one with a connection and, unless it shares a ``loop``, a loop of its own, which it
        closes. ``options`` are those of :class:`Connection` and of :class:`Validator`. The trust
        feed is followed from :meth:`start` on, or from entering the context.
        """
        wanted = {name: options.pop(name) for name in CONNECTION_OPTIONS & options.keys()}
        connection = Connection(targets, credentials, **wanted)
        own = loop is None
        loop = loop or BackgroundLoop()
        validator = cls(Validator(connection, **options), loop)

        def close() -> None:
            if loop.usable:
                loop.run(connection.close())
            if own:
                loop.close()

        validator._closing = close
        return validator

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Follow the trust feed from now on. Until then every token is asked about."""
        self.loop.run(self.asynchronous.start())

    def close(self) -> None:
        """Report the last activity, then close what :meth:`connect` opened. May be called again."""
        if self.loop.usable:
            self.loop.run(self.asynchronous.close())
        self._closing()

    @property
    def revision(self) -> int:
        """Revision of the trust log up to which this validator knows it."""
        return self.asynchronous.revision

    @property
    def fresh(self) -> bool:
        """Whether decisions are made here at this moment."""
        return self.asynchronous.fresh

    @property
    def view_age(self) -> float:
        """See :attr:`tokenservice.Validator.view_age`."""
        return self.asynchronous.view_age

    def wait_ready(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the first view of the trust log."""
        return self.loop.run(self.asynchronous.wait_ready(timeout))

    def validate(
        self,
        token: str,
        *,
        audience: str,
        scopes: Collection[str] = (),
        max_auth_age: float | timedelta | None = None,
        acr: str = "",
        confirmation: bytes = b"",
        min_revision: int = 0,
        on_stale: OnStale = "ask",
    ) -> Decision:
        """See :meth:`tokenservice.Validates.validate`."""
        decision = self._try_local(
            token, audience, scopes, max_auth_age, acr, confirmation, min_revision
        )
        if decision is not None:
            return decision
        local = self.asynchronous.local
        requirement = local.requirement(audience, scopes, max_auth_age, acr, confirmation)
        return self.loop.run(self.asynchronous.ask(token, requirement, min_revision, on_stale))
