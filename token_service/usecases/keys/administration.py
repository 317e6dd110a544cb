"""Keys as administrators see them, replace them, and declare them compromised."""

from collections.abc import Sequence
from datetime import UTC, datetime

from token_service.domain.audit import AuditEvent
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy_rules import SIGNING_ALGORITHMS
from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.domain.keys.key import Key
from token_service.domain.keys.schedule import (
    DEFAULT_ALGORITHM,
    MAC_ALGORITHM,
    KeyScheduleSettings,
    NewKey,
    decide_rotation,
    seniority,
)
from token_service.domain.kinds import (
    KeyPurpose,
    KeyState,
    Permission,
    RevocationReason,
    TrustEntryKind,
)
from token_service.domain.ports import (
    Clock,
    KeyChange,
    KeyMaterial,
    KeyStore,
    RevocationStore,
    Trust,
)
from token_service.domain.trust.revocation import Revocation, Revoked
from token_service.usecases.keys.maintenance import KeyMaintenance, described, generate_key
from token_service.usecases.paging import page_of
from token_service.usecases.shielding import Shield

_TRIES = 4
_FAR = datetime(9999, 1, 1, tzinfo=UTC)


class KeyAdministration:
    """Every method needs admin.keys."""

    def __init__(
        self,
        *,
        store: KeyStore,
        material: KeyMaterial,
        clock: Clock,
        shield: Shield,
        settings: KeyScheduleSettings,
        default_algorithm: str = DEFAULT_ALGORITHM,
    ) -> None:
        self._store = store
        self._material = material
        self._clock = clock
        self._shield = shield
        self._settings = settings
        self._default_algorithm = default_algorithm

    async def page(
        self, caller: Caller, purpose: KeyPurpose | None, page_size: int, page_token: str
    ) -> tuple[tuple[Key, ...], str]:
        """Keys (of one purpose), the newest first, and the next page's token ("" on the last)."""
        caller.require(Permission.ADMIN_KEYS)
        keys = [key for key in await self._store.all() if purpose in (None, key.purpose)]
        return page_of(sorted(keys, key=_newest_first), _newest_first, page_size, page_token)

    async def get(self, caller: Caller, kid: str) -> Key:
        """One key. Raises KEY_NOT_FOUND."""
        caller.require(Permission.ADMIN_KEYS)
        return find_key(await self._store.all(), kid)

    async def rotate(self, caller: Caller, purpose: KeyPurpose, algorithm: str, note: str) -> Key:
        """Make the key that replaces the active one once everybody must have heard of it.

        An empty `algorithm` means the default; only signing keys have a choice. A signing
        algorithm that was not in use comes into use. Raises FIELD_INVALID, and KEY_STATE while a
        newer key is PENDING.
        """
        caller.require(Permission.ADMIN_KEYS)
        chosen = self._algorithm(purpose, algorithm)
        now = self._clock.now()
        new = decide_rotation(await self._store.all(), purpose, chosen, now, self._settings)
        key = await generate_key(self._material, new, now)
        details = described(key) + (f" note={note}" if note else "")
        audit = caller.audit(now, "key.rotate", target=key.kid, details=details)
        await self._shield.run(self._store.insert(key, audit))
        return key

    def _algorithm(self, purpose: KeyPurpose, algorithm: str) -> str:
        if purpose is KeyPurpose.SIGNING:
            if algorithm and algorithm not in SIGNING_ALGORITHMS:
                raise invalid_field("algorithm", "is not a signing algorithm")
            return algorithm or self._default_algorithm
        if algorithm:
            raise invalid_field("algorithm", "only signing keys have a choice")
        return MAC_ALGORITHM


class CompromiseKey:
    """Ends everything that depends on a key: for KeyService and for Revoke with a `key_id`.

    Where the key was in use, its successor is ACTIVE before the key is dead, so that no login and
    no exchange fails in between: a PENDING key if there is one, which validators know already,
    else a new one, whose first tokens they refuse until they have heard of it (within the
    staleness limit). Availability goes before the publication lead here.

    What dies with the key: tokens signed or sealed with it; sessions whose current token was made
    with a mint key. A *pepper* makes no tokens: what leaks with it are hashes of secrets of 256
    bits, which it does not help to guess. It is replaced and RETIRING, and each client's hash
    moves to the new pepper when the client authenticates next, so nobody is locked out. A secret
    whose `request_id` was not drawn at random can be made from the pepper: rotate it.
    """

    def __init__(
        self,
        *,
        store: KeyStore,
        material: KeyMaterial,
        revocations: RevocationStore,
        trust: Trust,
        clock: Clock,
        shield: Shield,
        maintenance: KeyMaintenance,
    ) -> None:
        self._store = store
        self._material = material
        self._revocations = revocations
        self._trust = trust
        self._clock = clock
        self._shield = shield
        self._maintenance = maintenance

    async def __call__(self, caller: Caller, kid: str, note: str) -> Revoked:
        """Declare the key compromised; again is no error.

        Raises PERMISSION_MISSING (admin.keys or tokens.revoke_any), KEY_NOT_FOUND and OVERLOADED.
        """
        if not caller.may(Permission.TOKENS_REVOKE_ANY):
            caller.require(Permission.ADMIN_KEYS)
        revoked = await self._shield.run(self._compromise(caller, kid, note))
        await self._trust.reach(revoked.revision)
        return revoked

    async def _compromise(self, caller: Caller, kid: str, note: str) -> Revoked:
        key = await self._replaced(caller, kid)
        now = self._clock.now()
        details = described(key) + (f" note={note}" if note else "")
        audit = caller.audit(now, "key.compromise", target=kid, details=details)
        if key.purpose is KeyPurpose.PEPPER:
            await self._retire_pepper(key, audit)
            return Revoked(self._trust.state.revision)
        revocation = Revocation(
            kind=TrustEntryKind.KEY, id=kid, reason=RevocationReason.KEY_COMPROMISED, audit=audit
        )
        revoked = await self._revocations.revoke(revocation, now)
        # Its successor may have been compromised in the same moment.
        await self._maintenance.tick()
        return revoked

    async def _replaced(self, caller: Caller, kid: str) -> Key:
        """The key, once another one of its slot is ACTIVE if it is so itself."""
        for _ in range(_TRIES):
            keys = await self._store.all()
            key = find_key(keys, kid)
            slot = [one for one in keys if _slot(one) == _slot(key) and one.kid != kid]
            active = [one for one in slot if one.state is KeyState.ACTIVE]
            if key.state is not KeyState.ACTIVE or active:
                return key
            await self._activate_successor(caller, key, slot)
        raise TokenServiceError(Reason.OVERLOADED, "the keys keep changing")

    async def _activate_successor(self, caller: Caller, key: Key, slot: Sequence[Key]) -> None:
        now = self._clock.now()
        pending = [one for one in slot if one.state is KeyState.PENDING]
        if pending:
            successor = min(pending, key=seniority)
            audit = self._succession(caller, now, key, successor)
            step = KeyChange(successor.kid, KeyState.PENDING, KeyState.ACTIVE)
            await self._store.change([step], audit)
            return
        new = NewKey(key.purpose, key.algorithm, KeyState.ACTIVE, now)
        successor = await generate_key(self._material, new, now)
        await self._store.insert(successor, self._succession(caller, now, key, successor))

    async def _retire_pepper(self, key: Key, audit: AuditEvent) -> None:
        to_state = {KeyState.ACTIVE: KeyState.RETIRING, KeyState.PENDING: KeyState.RETIRED}
        if key.state in to_state:
            await self._store.change([KeyChange(key.kid, key.state, to_state[key.state])], audit)

    def _succession(self, caller: Caller, now: datetime, key: Key, successor: Key) -> AuditEvent:
        details = f"{described(successor)} replaces={key.kid}"
        return caller.audit(now, "key.replace", target=successor.kid, details=details)


def find_key(keys: Sequence[Key], kid: str) -> Key:
    """The key with this id. Raises KEY_NOT_FOUND."""
    for key in keys:
        if key.kid == kid:
            return key
    raise TokenServiceError(Reason.KEY_NOT_FOUND, "no such key")


def _slot(key: Key) -> tuple[KeyPurpose, str]:
    return key.purpose, key.algorithm


def _newest_first(key: Key) -> str:
    """Text that sorts the newest key first."""
    before = int((_FAR - key.created_at).total_seconds() * 1_000_000)
    return f"{before:020d}{key.kid}"
