"""Validation for asyncio programs: decided in this process where it can be, asked otherwise.

::

    async with Connection(targets, credentials) as connection, Validator(connection) as validator:
        decision = await validator.validate(token, audience="orders", scopes=["orders.read"])
        if not decision.active:
            return decision.http_status, decision.www_authenticate
        serve(decision.principal)

A token that was seen before costs some microseconds and no network call. A revoked token is
refused everywhere within ``staleness_limit``, and in practice within milliseconds: a
validator that does not hear of the trust log for longer asks the server about every token, and
refuses (status 503) what nobody answers for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from tokenservice._decisions.activity import ActivityLog, ActivityReporter
from tokenservice._decisions.events import GuardedEvents, ValidatorEvents
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._decisions.token_cache import TokenCache
from tokenservice._decisions.unknown_keys import UnknownKeys
from tokenservice._times import seconds_of
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.follower import TrustFollower
from tokenservice._validator.outages import Outages
from tokenservice._validator.remote import RemoteValidation
from tokenservice._validator.server_calls import ServerCalls

if TYPE_CHECKING:
    from tokenservice._transport.connection import Connection

__all__ = ["AssembledValidator", "Validator", "ValidatorEvents"]


class ValidatorOptions(TypedDict, total=False):
    """What :class:`Validator` takes besides a connection."""

    staleness_limit: timedelta
    max_entries: int
    max_bytes: int
    remote_timeout: timedelta
    activity_interval: timedelta
    report_activity: bool
    events: ValidatorEvents | None


class Validator(AssembledValidator):
    """Validates over a connection, which it shares with others and does not close.

    The caller needs the permissions ``tokens.validate`` and ``trust.watch``, and must protect the
    audiences that it asks about. Use it as a context manager, one per event loop.

    ``staleness_limit`` is how old the view of the trust log may be to decide by: how
    long a revoked token may still be accepted. ``max_entries`` and ``max_bytes`` bound what is
    remembered of tokens. ``remote_timeout`` bounds a question to the server.
    A ``min_revision`` that the feed has yet to bring is waited for up to 50 ms before that.
    ``activity_interval`` is how often, at most, a session's activity is reported; the
    service asks for it more often where a session's idle lifetime is short;
    ``report_activity=False`` leaves that to others, and sessions that are used but here alone
    then run into their idle limit. ``events`` hears of decisions, questions and outages.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        staleness_limit: timedelta = timedelta(seconds=5),
        max_entries: int = 100_000,
        max_bytes: int = 150_000_000,
        remote_timeout: timedelta = timedelta(seconds=1),
        activity_interval: timedelta = timedelta(minutes=1),
        report_activity: bool = True,
        events: ValidatorEvents | None = None,
    ) -> None:
        events = None if events is None else GuardedEvents(events)
        outages = Outages(", ".join(connection.targets), events)
        local = LocalValidator(
            cache=TokenCache(max_entries, max_bytes),
            activity=ActivityLog(seconds_of(activity_interval, "activity_interval")),
            staleness_limit=seconds_of(staleness_limit, "staleness_limit"),
            unknown_keys=UnknownKeys(),
        )
        timeout = seconds_of(remote_timeout, "remote_timeout")
        calls = ServerCalls(connection, timeout)
        report = calls.report if report_activity else _report_to_nobody
        super().__init__(
            local,
            RemoteValidation(calls.validate, timeout=timeout, outages=outages, events=events),
            follower=TrustFollower(local, calls.watch, outages=outages),
            reporter=ActivityReporter(local.activity, local.clock, report),
            events=events,
        )


async def _report_to_nobody(activity: dict[str, float], interval: float) -> dict[str, float]:
    """Let go of it: others report the sessions."""
    del activity, interval
    return {}
