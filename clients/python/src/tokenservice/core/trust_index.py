"""The lookup side of the trust state: what is asked on every request."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tokenservice.core.kinds import KeyState, RevocationReason, TrustEffect, TrustEntryKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenservice.core.facts import Facts

_IDENTITY: Final = 1 << 64
"""Threshold of an entry that kills by identity: above every revision."""

_BY_IDENTITY: Final = frozenset({TrustEntryKind.SESSION, TrustEntryKind.KEY})
"""Besides TOKEN, and for REVOKE only."""

_VERIFIABLE: Final = frozenset({KeyState.PENDING, KeyState.ACTIVE, KeyState.RETIRING})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustEntry:
    """One entry of the trust log.

    ``id`` is the token id, session id, subject, client id or key id that ``kind`` calls for
    and "" for EVERYTHING; ``device_id`` belongs to SUBJECT_DEVICE alone. After ``keep_until``
    (Unix seconds) no token that the entry could kill is alive.
    """

    revision: int
    kind: TrustEntryKind
    id: str
    device_id: str
    effect: TrustEffect
    keep_until: float
    reason: RevocationReason = RevocationReason.UNSPECIFIED

    def check(self) -> None:
        """Raise ValueError when a validator cannot honour the entry: it must not be skipped."""
        if self.revision < 1 or not isfinite(self.keep_until):
            raise ValueError("trust entry: revision or keep_until out of range")
        if self.effect not in (TrustEffect.REVOKE, TrustEffect.REISSUE):
            raise ValueError("trust entry: unknown effect")
        if not TrustEntryKind.TOKEN <= self.kind <= TrustEntryKind.EVERYTHING:
            raise ValueError("trust entry: unknown kind")
        if (self.id == "") is not (self.kind is TrustEntryKind.EVERYTHING):
            raise ValueError("trust entry: id missing or misplaced")
        if (self.device_id == "") is (self.kind is TrustEntryKind.SUBJECT_DEVICE):
            raise ValueError("trust entry: device id missing or misplaced")


@dataclass(frozen=True, slots=True)
class TrustKey:
    """A key that tokens are checked with.

    ``public_key`` is the DER SubjectPublicKeyInfo, b"" for a ``server_only`` key, whose tokens
    nobody but the server can check.
    """

    kid: str
    alg: str
    public_key: bytes
    server_only: bool
    state: KeyState


class _Kills:
    """The entries of one effect: for each target the revision below which its tokens die.

    ``tables`` is indexed by entry kind; the names are the same tables for the hot path.
    """

    __slots__ = (
        "clients",
        "devices",
        "everything",
        "keys",
        "sessions",
        "size",
        "subjects",
        "tables",
        "tokens",
    )

    def __init__(self) -> None:
        self.size = 0
        self.tables: tuple[dict[object, int], ...] = tuple({} for _ in TrustEntryKind)
        (
            _,
            self.tokens,
            self.sessions,
            self.subjects,
            self.devices,
            self.clients,
            self.keys,
            self.everything,
        ) = self.tables

    def hits(self, facts: Facts) -> bool:
        """Whether an entry kills the token.

        A miss, which is nearly every lookup, costs least with ``in``; the value is then read
        with ``get`` because another thread may just have pruned it.
        """
        rev = facts.rev
        return bool(
            (facts.token_id in self.tokens and rev < self.tokens.get(facts.token_id, 0))
            or (facts.session_id in self.sessions and rev < self.sessions.get(facts.session_id, 0))
            or (facts.subject in self.subjects and rev < self.subjects.get(facts.subject, 0))
            or (facts.client_id in self.clients and rev < self.clients.get(facts.client_id, 0))
            or (facts.key_id in self.keys and rev < self.keys.get(facts.key_id, 0))
            or (self.everything and rev < self.everything.get("", 0))
            or (
                self.devices
                and facts.device_id
                and rev < self.devices.get((facts.subject, facts.device_id), 0)
            )
        )


class TrustView:
    """Keys and kills at one moment, replaced as a whole by a snapshot.

    ``keys`` are all keys as published; ``verifiable`` those whose tokens may still be good.
    """

    __slots__ = (
        "_named",
        "_named_again",
        "_reissue",
        "_revoke",
        "_shared",
        "compromised",
        "keys",
        "verifiable",
    )

    def __init__(self, keys: Iterable[TrustKey] = ()) -> None:
        self._revoke = _Kills()
        self._reissue = _Kills()
        # What any entry of any kind names ("" for EVERYTHING): a token of which nothing is in it,
        # as is nearly every one, costs this one look.
        self._named: set[str] = set()
        self._named_again: dict[str, int] = {}
        # Targets that several live entries name, and how many do.
        self._shared: dict[tuple[TrustEffect, TrustEntryKind, object], int] = {}
        self.set_keys(keys)

    def set_keys(self, keys: Iterable[TrustKey]) -> None:
        """Replace the keys."""
        by_kid = {key.kid: key for key in keys}
        self.compromised: frozenset[str] = frozenset(
            kid for kid, key in by_kid.items() if key.state is KeyState.COMPROMISED
        )
        # A plain dict: every verdict looks into it.
        self.verifiable: Mapping[str, TrustKey] = {
            kid: key for kid, key in by_kid.items() if key.state in _VERIFIABLE
        }
        self.keys: Mapping[str, TrustKey] = MappingProxyType(by_kid)

    def status(self, facts: Facts) -> TrustEffect | None:
        """Say what the log does to a token; REVOKE wins."""
        named = self._named
        if not named or named.isdisjoint(
            ("", facts.session_id, facts.subject, facts.client_id, facts.token_id, facts.key_id)
        ):
            return None
        if self._revoke.size and self._revoke.hits(facts):
            return TrustEffect.REVOKE
        if self._reissue.size and self._reissue.hits(facts):
            return TrustEffect.REISSUE
        return None

    def key_revoked(self, kid: str) -> bool:
        """Whether the key is known to be compromised, listed or not."""
        return kid in self._revoke.keys or kid in self.compromised

    def add(self, entry: TrustEntry) -> None:
        """Let the entry take effect."""
        kills = self._kills(entry)
        table, key = kills.tables[entry.kind], _target(entry)
        if entry.id in self._named:
            self._named_again[entry.id] = self._named_again.get(entry.id, 0) + 1
        else:
            self._named.add(entry.id)
        held = table.get(key)
        threshold = _threshold(entry)
        if held is None or held < threshold:
            table[key] = threshold
        if held is not None:
            slot = _slot(entry)
            self._shared[slot] = self._shared.get(slot, 1) + 1
        kills.size += 1

    def remove(self, entry: TrustEntry, rest: Iterable[TrustEntry]) -> None:
        """Undo :meth:`add`. ``rest`` are the entries that stay.

        They are read only where the newest of several entries about one target goes first.
        """
        kills = self._kills(entry)
        table, key = kills.tables[entry.kind], _target(entry)
        self._unname(entry.id)
        slot = _slot(entry)
        count = self._shared.pop(slot, 1)
        kills.size -= 1
        if count == 1:
            del table[key]
            return
        if count > 2:
            self._shared[slot] = count - 1
        threshold = _threshold(entry)
        if threshold != _IDENTITY and threshold == table[key]:
            table[key] = max(_threshold(other) for other in rest if _slot(other) == slot)

    def _unname(self, target: str) -> None:
        again = self._named_again.pop(target, 0)
        if again == 0:
            self._named.remove(target)
        elif again > 1:
            self._named_again[target] = again - 1

    def _kills(self, entry: TrustEntry) -> _Kills:
        return self._revoke if entry.effect is TrustEffect.REVOKE else self._reissue


def _target(entry: TrustEntry) -> object:
    if entry.kind is TrustEntryKind.SUBJECT_DEVICE:
        return entry.id, entry.device_id
    return entry.id


def _slot(entry: TrustEntry) -> tuple[TrustEffect, TrustEntryKind, object]:
    return entry.effect, entry.kind, _target(entry)


def _threshold(entry: TrustEntry) -> int:
    if entry.kind is TrustEntryKind.TOKEN:
        return _IDENTITY
    if entry.effect is TrustEffect.REVOKE and entry.kind in _BY_IDENTITY:
        return _IDENTITY
    return entry.revision
