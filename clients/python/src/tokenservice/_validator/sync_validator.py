"""Validation for threads: WSGI applications, sync gRPC servers, scripts.

::

    with SyncConnection(targets, credentials) as connection, SyncValidator(connection) as validator:
        decision = validator.validate(token, audience="orders", scopes=["orders.read"])

What can be decided here is decided on the calling thread; the trust feed is followed, and the
server asked, on the connection's own. Servers that fork their workers start it in the worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

from tokenservice._sync.face import SyncFace, waiting
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from tokenservice._decisions.decision import Decision, OnStale
    from tokenservice._sync.background_loop import BackgroundLoop
    from tokenservice._sync.connection import SyncConnection
    from tokenservice._validator.validator import ValidatorOptions


class SyncAssembledValidator(SyncFace[AssembledValidator]):
    """A validator made of parts, for threads; :class:`SyncValidator` is the usual one."""

    def __init__(self, asynchronous: AssembledValidator, loop: BackgroundLoop) -> None:
        super().__init__(asynchronous, loop)
        self._try_local = asynchronous.try_local

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    start = waiting(AssembledValidator.start)

    def close(self) -> None:
        """Stop following and report the last activity. May be called again."""
        if self.loop.usable:
            self.loop.run(self.asynchronous.close())

    @property
    def revision(self) -> int:
        """Revision of the trust log up to which this validator knows it."""
        return self.asynchronous.revision

    @property
    def fresh(self) -> bool:
        """Whether decisions are made here at this moment."""
        return self.asynchronous.fresh

    @property
    def view_age(self) -> timedelta:
        """See :attr:`tokenservice.Validator.view_age`."""
        return self.asynchronous.view_age

    wait_ready = waiting(AssembledValidator.wait_ready)

    def validate(
        self,
        token: str,
        *,
        audience: str,
        scopes: Collection[str] = (),
        max_auth_age: timedelta | None = None,
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


class SyncValidator(SyncAssembledValidator):
    """The methods of :class:`tokenservice.Validator` for any number of threads.

    Takes the options of :class:`Validator`. The trust feed is followed from :meth:`start` on, or
    from entering the context.
    """

    def __init__(self, connection: SyncConnection, **options: Unpack[ValidatorOptions]) -> None:
        super().__init__(Validator(connection.asynchronous, **options), connection.loop)
