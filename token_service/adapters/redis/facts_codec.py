"""Session facts as bytes that only a node of ours can make."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from token_service.adapters.redis.seals import EntrySeals
from token_service.domain.kinds import Amr, Platform, TokenKind
from token_service.domain.sessions.session import Device, Session

_LABEL = b"token-service session facts v1\0"
_NO_ID = UUID(int=0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def identity_facts(session: Session) -> Session:
    """Keep what of a session describes it, whether it came from Redis or from Postgres.

    Left out is what only an exchange may know (lookup id, mint key, fingerprints), what moves
    with activity (its times read as if unused since the start, ending with the absolute expiry)
    and the device's texts. Revocation is as in `session`.
    """
    return replace(
        session,
        lookup_id=_NO_ID,
        mint_kid="",
        exchange_hash=None,
        rotated_at=session.created_at,
        last_active_at=session.created_at,
        idle_seconds=0,
        idle_expires_at=session.absolute_expires_at,
        device=Device(device_id=session.device.device_id),
        parent_session_id=None,
        pairing_id=None,
        exchange_fingerprint=None,
    )


class FactsCodec:
    """Encodes and decodes sealed facts; the session's id and the time are part of it."""

    def __init__(self, seals: EntrySeals) -> None:
        self._seals = seals

    def encode(self, facts: Session, now: datetime) -> bytes:
        """Make the entry for a session that is not revoked, as read at `now`."""
        body = json.dumps(
            [
                _from_time(now),
                facts.generation,
                int(facts.kind),
                int(facts.platform),
                facts.client_id,
                None if facts.user_id is None else facts.user_id.hex,
                facts.rev,
                facts.acr,
                int(facts.amr),
                _from_time(facts.auth_time),
                _from_time(facts.created_at),
                _from_time(facts.absolute_expires_at),
                facts.audiences,
                facts.scopes,
                facts.roles,
                facts.device.device_id,
                facts.confirmation.hex(),
            ],
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()
        return self._seals.seal(_LABEL + facts.session_id.bytes, body)

    def decode(
        self, session_id: UUID, entry: bytes, now: datetime, ttl: timedelta
    ) -> Session | None:
        """Read the facts; None for an entry that is not ours or another session's.

        Also for one older than `ttl`: whoever can write to Redis can put it back.
        """
        body = self._seals.open(_LABEL + session_id.bytes, entry)
        if body is None:
            return None
        fields = json.loads(body)
        if not -ttl < now - _to_time(fields[0]) < ttl:
            return None
        return _session(session_id, fields[1:])


def _session(session_id: UUID, fields: list[Any]) -> Session:
    (
        generation, kind, platform, client_id, user_id, rev, acr, amr, auth_time, created_at,
        absolute_expires_at, audiences, scopes, roles, device_id, confirmation,
    ) = fields  # fmt: skip
    return Session(
        session_id=session_id,
        lookup_id=_NO_ID,
        kind=TokenKind(kind),
        platform=Platform(platform),
        client_id=client_id,
        user_id=None if user_id is None else UUID(hex=user_id),
        generation=generation,
        mint_kid="",
        exchange_hash=None,
        rev=rev,
        acr=acr,
        amr=Amr(amr),
        auth_time=_to_time(auth_time),
        created_at=_to_time(created_at),
        rotated_at=_to_time(created_at),
        last_active_at=_to_time(created_at),
        idle_seconds=0,
        idle_expires_at=_to_time(absolute_expires_at),
        absolute_expires_at=_to_time(absolute_expires_at),
        audiences=tuple(audiences),
        scopes=tuple(scopes),
        roles=tuple(roles),
        device=Device(device_id=device_id),
        confirmation=bytes.fromhex(confirmation),
    )


def _from_time(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _to_time(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND
