"""The first administrator: written to the store directly, since nobody could let it in."""

from dataclasses import dataclass, field
from datetime import datetime

from token_service.domain.audit import Actor, AuditEvent
from token_service.domain.clients.client import Client
from token_service.domain.clients.ids import chosen_client_id
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.clients.policy_rules import check_policy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission, Platform
from token_service.domain.ports import ClientStore, Clock, Randomness, Secrets
from token_service.usecases.clients.credentials import draw_secret
from token_service.usecases.names import shown_name
from token_service.usecases.tokens.token_limits import TokenLimits

ADMINISTRATOR = ClientPolicy(platforms=frozenset({Platform.API}), permissions=frozenset(Permission))
REGISTRANT = Actor.BOOTSTRAP


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a client authenticates with."""

    client_id: str
    client_secret: str = field(repr=False)


class BootstrapClient:
    """Puts a client into the store without review; for who has the database anyway."""

    def __init__(
        self,
        *,
        store: ClientStore,
        secrets: Secrets,
        clock: Clock,
        random: Randomness,
        limits: TokenLimits,
        actor: Actor = Actor.COMMAND_LINE,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._random = random
        self._limits = limits
        self._actor = actor

    async def __call__(
        self, client_id: str, name: str, contact: str, policy: ClientPolicy
    ) -> ClientCredentials:
        """Create an ACTIVE client and its secret. Again, the secret is replaced as long as it was
        never used. Raises FIELD_INVALID, and CLIENT_STATE for a client that is in use."""
        chosen_client_id(client_id)
        check_policy(policy)
        self._limits.require(policy)
        name = shown_name(name, "name")
        now = self._clock.now()
        client = self._client(client_id, name, contact, policy, now)
        audit = self._audit(now, "client.bootstrap", client_id, f"name={name}")
        if not await self._store.insert(client, audit):
            found = await self._store.get(client_id)
            if found is not None and found[0].registered_by != REGISTRANT:
                raise _taken()
        secret = await self.new_secret(client_id)
        if secret is None:
            raise _taken()
        return ClientCredentials(client_id, secret)

    async def new_secret(
        self, client_id: str, old_expires_at: datetime | None = None
    ) -> str | None:
        """A secret in place of the unused ones, or with `old_expires_at` besides the used ones
        until then. None: the client's state does not allow it."""
        now = self._clock.now()
        nonce = self._random.bytes(32).hex()
        drawn = draw_secret(self._secrets, "bootstrap", client_id, (nonce,), now)
        audit = self._audit(now, "client.bootstrap_secret", client_id)
        stored = await self._store.put_secret(
            client_id, drawn.kept, drawn.request_hash, old_expires_at=old_expires_at, audit=audit
        )
        return drawn.secret if stored else None

    def _audit(self, now: datetime, action: str, client_id: str, details: str = "") -> AuditEvent:
        return AuditEvent(
            at=now,
            actor=self._actor,
            action=action,
            outcome="ok",
            target=client_id,
            details=details,
        )

    def _client(
        self, client_id: str, name: str, contact: str, policy: ClientPolicy, now: datetime
    ) -> Client:
        return Client(
            client_id=client_id,
            name=name,
            contact=contact,
            state=ClientState.ACTIVE,
            policy=policy,
            valid_rev=0,
            registered_by=REGISTRANT,
            reviewed_by=REGISTRANT,
            review_note="",
            created_at=now,
            updated_at=now,
        )


def _taken() -> TokenServiceError:
    return TokenServiceError(Reason.CLIENT_STATE, "there is such a client, and it is in use")


async def bootstrap_administrator(
    create: BootstrapClient, client_id: str = "admin", name: str = "Administrator"
) -> ClientCredentials:
    """The first administrator, with every permission; raises what BootstrapClient raises."""
    return await create(client_id, name, "", ADMINISTRATOR)
