"""Keeps the keys on their schedule, and this node's copy of them up to date."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import structlog

from token_service.domain.audit import Actor, AuditEvent
from token_service.domain.keys.key import Key, KeyChange
from token_service.domain.keys.schedule import (
    KeyPlan,
    KeyScheduleSettings,
    NewKey,
    decide_key_changes,
)
from token_service.domain.kinds import KeyState
from token_service.domain.pairing.decision import LONGEST_LIFE
from token_service.domain.ports import Clock, KeyMaterial, KeyStore
from tokenservice.core import TrustKey

_ROUNDS = 4
"""Filling a slot, activating and retiring follow one another; what is left waits for the next
tick."""


_log = structlog.get_logger(__name__)


class KeyFeed(Protocol):
    """Where keys are published (the trust feed)."""

    def apply_keys(self, keys: Sequence[TrustKey], keys_version: int) -> None:
        """The keys as of `keys_version` are loaded."""
        ...


class KeyMaintenance:
    """Makes, activates and retires keys when it is time. Any number of nodes may do so at once:
    what each does is conditional on the state that it decided on, and what two of them made is
    one too many and retired before it was ever used."""

    def __init__(
        self,
        store: KeyStore,
        material: KeyMaterial,
        feed: KeyFeed,
        clock: Clock,
        settings: KeyScheduleSettings,
    ) -> None:
        self._store = store
        self._material = material
        self._feed = feed
        self._clock = clock
        self._settings = settings
        self._loading = asyncio.Lock()
        self._unused_since: dict[str, datetime] = {}

    async def ensure(self, now: datetime) -> None:
        """At start: after this there is an active key for every purpose."""
        await self._settle(now)

    async def tick(self) -> None:
        """Do what is due. Call it every few seconds; cheap when nothing is."""
        await self._settle(self._clock.now())

    async def retire_unused_peppers(self) -> None:
        """Retire former peppers that nothing is hashed under any more. Call it every few minutes.

        Hashes do not expire as tokens do, so no time is set when a pepper is replaced. One that is
        found unused stays until no other node can take it for the active one, and the pairings
        that began with it are over: until the scan they are kept in Redis, and not counted.
        """
        now = self._clock.now()
        unused = [use.kid for use in await self._store.pepper_uses(now) if not use]
        self._unused_since = {kid: self._unused_since.get(kid, now) for kid in unused}
        wait = self._settings.publish_lead + LONGEST_LIFE
        due = [kid for kid, since in self._unused_since.items() if now - since >= wait]
        await self._change(
            [KeyChange(kid, KeyState.RETIRING, KeyState.RETIRED) for kid in due], now
        )

    async def load(self, keys_version: int) -> None:
        """Read all keys and use them from now on; `keys_version` is one that the log had before
        this call. Raises ValueError, and keeps the former ones, when a key cannot be used."""
        async with self._loading:  # an older reading must not replace a newer one
            before = self._material.missing_secrets()
            self._material.load(await self._store.all())
            _tell(before, self._material.missing_secrets())
            self._feed.apply_keys(self._material.public_keys(), keys_version)

    async def _settle(self, now: datetime) -> None:
        for _ in range(_ROUNDS):
            plan = decide_key_changes(await self._store.all(), now, self._settings)
            if not plan:
                return
            await self._apply(plan, now)

    async def _apply(self, plan: KeyPlan, now: datetime) -> None:
        await self._change(plan.changes, now)
        for new in plan.generate:
            key = await generate_key(self._material, new, now)
            audit = AuditEvent(
                at=now,
                actor=Actor.KEY_MAINTENANCE,
                action="key.create",
                outcome="ok",
                target=key.kid,
                details=described(key),
            )
            if key.state is KeyState.ACTIVE:
                await self._store.bootstrap([key], audit)
            else:
                await self._store.insert(key, audit)

    async def _change(self, changes: Sequence[KeyChange], now: datetime) -> None:
        if changes:
            steps = (f"{step.kid}:{step.to_state.name.lower()}" for step in changes)
            audit = AuditEvent(
                at=now,
                actor=Actor.KEY_MAINTENANCE,
                action="key.schedule",
                outcome="ok",
                details=" ".join(steps),
            )
            await self._store.change(changes, audit)


def _tell(before: frozenset[str], missing: frozenset[str]) -> None:
    if missing == before:
        return
    if missing:
        _log.warning("secret_keys_missing", secrets=sorted(missing))
    else:
        _log.info("secret_keys_complete")


async def generate_key(material: KeyMaterial, new: NewKey, now: datetime) -> Key:
    """Make the key, off the event loop: an RSA key takes a while."""
    return await asyncio.to_thread(
        material.generate, new.purpose, new.algorithm, new.state, now, new.activates_at
    )


def described(key: Key) -> str:
    """A key's purpose, algorithm and state, for an audit record."""
    return (
        f"purpose={key.purpose.name.lower()} algorithm={key.algorithm} "
        f"state={key.state.name.lower()}"
    )
