"""Pairings that nobody scanned yet: kept where they may be lost, for people look at a new code."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from token_service.adapters.redis.connection import RedisClient
from token_service.adapters.redis.gate import RedisGate
from token_service.adapters.redis.link import RedisAway
from token_service.adapters.redis.seals import EntrySeals
from token_service.domain.errors import store_unavailable
from token_service.domain.kinds import Amr, PairingDirection, PairingState
from token_service.domain.pairing.decision import Login, Pairing
from token_service.domain.pairing.qr_codes import is_alive, tag_of
from token_service.domain.sessions.session import Device

_LABEL = b"token-service pending pairing v1\0"
_MAX_BYTES = 64 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)


class RedisPendingPairings:
    """Implements `ports.PendingPairings`.

    One entry per pairing, and one per code that leads to it; all of a pairing are in one slot of
    a Cluster. `seals` authenticate the entries: whoever can write to Redis can lose a pairing, and
    make none.
    """

    def __init__(self, gate: RedisGate, seals: EntrySeals) -> None:
        self._gate = gate
        self._seals = seals

    async def put(self, pairing: Pairing) -> None:
        """Keep it for as long as it may be scanned. Raises STORE_UNAVAILABLE."""
        tag = tag_of(pairing.pairing_id)
        milliseconds = (pairing.ends_at - pairing.started_at) // _MILLISECOND
        entry = self._sealed(pairing)

        async def run(client: RedisClient) -> Any:  # noqa: ANN401 - what the pipeline returns
            pipeline: Any = client.pipeline(transaction=False)
            pipeline.set(self._entry(tag, pairing.pairing_id), entry, px=milliseconds)
            for code_hash in pairing.code_hashes:
                name = self._code(tag, code_hash)
                pipeline.set(name, pairing.pairing_id.bytes, px=milliseconds)
            return await pipeline.execute()

        await self._ask(run)

    async def get(self, pairing_id: UUID) -> Pairing | None:
        """By id. Raises STORE_UNAVAILABLE."""
        return await self._load(tag_of(pairing_id), pairing_id)

    async def find_by_code(
        self, tag: str, code_hashes: Sequence[bytes], now: datetime
    ) -> Pairing | None:
        """By a code that can be scanned at `now`. Raises STORE_UNAVAILABLE."""
        for code_hash in code_hashes:
            name = self._code(tag, code_hash)

            async def run(client: RedisClient, name: str = name) -> Any:  # noqa: ANN401
                return await client.get(name)

            value = await self._ask(run)
            if not isinstance(value, bytes) or len(value) != 16:
                continue
            pairing = await self._load(tag, UUID(bytes=value))
            if pairing is not None and code_hash in pairing.code_hashes:
                number = pairing.code_hashes.index(code_hash)
                return pairing if is_alive(pairing.started_at, number, now) else None
        return None

    async def _load(self, tag: str, pairing_id: UUID) -> Pairing | None:
        name = self._entry(tag, pairing_id)

        async def run(client: RedisClient) -> Any:  # noqa: ANN401
            # A range, so that a planted giant costs no more than a full entry.
            return await client.getrange(name, 0, _MAX_BYTES)

        entry = await self._ask(run)
        if not isinstance(entry, bytes):
            return None
        body = self._seals.open(_LABEL + pairing_id.bytes, entry)
        return None if body is None else _decode(pairing_id, json.loads(body))

    async def _ask(self, run: Any) -> Any:  # noqa: ANN401 - what the command returns
        try:
            return await self._gate.ask(run)
        except RedisAway:
            raise store_unavailable() from None

    def _entry(self, tag: str, pairing_id: UUID) -> str:
        return f"{self._gate.key('pairing', tag)}:{pairing_id}"

    def _code(self, tag: str, code_hash: bytes) -> str:
        return f"{self._gate.key('pairing-code', tag)}:{code_hash.hex()}"

    def _sealed(self, pairing: Pairing) -> bytes:
        body = json.dumps(_encode(pairing), separators=(",", ":")).encode()
        return self._seals.seal(_LABEL + pairing.pairing_id.bytes, body)


def _encode(pairing: Pairing) -> list[Any]:
    device, login = pairing.starter, pairing.login
    return [
        int(pairing.direction),
        pairing.direct,
        pairing.client_id,
        pairing.starter_client,
        pairing.pepper_id,
        pairing.watch_hash.hex(),
        pairing.audiences,
        pairing.scopes,
        [device.device_id, device.name, device.user_agent, device.ip_address],
        _from_time(pairing.started_at),
        _from_time(pairing.ends_at),
        pairing.approver_session.hex if pairing.approver_session else None,
        [_from_time(login.auth_time), login.acr, int(login.amr)] if login else None,
        [code_hash.hex() for code_hash in pairing.code_hashes],
    ]


def _decode(pairing_id: UUID, values: list[Any]) -> Pairing:
    (
        direction,
        direct,
        client_id,
        starter_client,
        pepper_id,
        watch_hash,
        audiences,
        scopes,
        device,
        started_at,
        ends_at,
        approver,
        login,
        code_hashes,
    ) = values
    return Pairing(
        pairing_id=pairing_id,
        direction=PairingDirection(direction),
        direct=direct,
        client_id=client_id,
        starter_client=starter_client,
        pepper_id=pepper_id,
        watch_hash=bytes.fromhex(watch_hash),
        audiences=tuple(audiences),
        scopes=tuple(scopes),
        starter=Device(*device),
        started_at=_to_time(started_at),
        state=PairingState.PENDING,
        ends_at=_to_time(ends_at),
        approver_session=UUID(approver) if approver else None,
        login=Login(_to_time(login[0]), login[1], Amr(login[2])) if login else None,
        code_hashes=tuple(bytes.fromhex(one) for one in code_hashes),
    )


def _from_time(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _to_time(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND
