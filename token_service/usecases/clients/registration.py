"""Clients register; who they are and may do is decided by somebody else."""

from dataclasses import dataclass, field, replace

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.clients.ids import RANDOM_BYTES, chosen_client_id, new_client_id
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.clients.policy_rules import check_policy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission
from token_service.domain.ports import ClientStore, Clock, Randomness, Secrets
from token_service.usecases.names import MAX_CONTACT_CHARACTERS, shown_name
from token_service.usecases.shielding import Shield
from tokenservice.core.tokens.opaque import REGISTRATION_SECRET_CODE

_TRIES = 4


@dataclass(frozen=True, slots=True)
class Registration:
    """A client that somebody asks for; the policy is what they wish, the reviewer decides.

    `client_id` is the id that it is to have; empty for one that is drawn.
    """

    name: str
    contact: str
    policy: ClientPolicy
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """The secret is shown this once; only its keyed hash is kept."""

    client: Client
    registration_secret: str = field(repr=False)


class RegisterClient:
    """Raises PERMISSION_MISSING where registration is not open, FIELD_INVALID, and CLIENT_EXISTS
    for an id that was asked for and is taken.

    An id is chosen by administrators alone, who can list those that there are: others could take
    the names that somebody else is about to use, or learn which ids exist.
    """

    def __init__(
        self,
        store: ClientStore,
        secrets: Secrets,
        clock: Clock,
        random: Randomness,
        shield: Shield,
        *,
        open_registration: bool,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._random = random
        self._shield = shield
        self._open = open_registration

    async def __call__(self, caller: Caller, request: Registration) -> Registered:
        """Put the registration down. It can do nothing until it was reviewed."""
        if not self._open:
            caller.require(Permission.CLIENTS_REGISTER)
        if request.client_id:
            caller.require(Permission.ADMIN_CLIENTS)
            chosen_client_id(request.client_id)
        check_policy(request.policy)
        name = shown_name(request.name, "name")
        contact = shown_name(request.contact, "contact", at_most=MAX_CONTACT_CHARACTERS)
        request = replace(request, name=name, contact=contact)
        if request.client_id:
            registered = self._draw(caller, request, request.client_id)
            if await self._insert(caller, registered.client, chosen=True):
                return registered
            raise TokenServiceError(Reason.CLIENT_EXISTS, "the client id is taken")
        for _ in range(_TRIES):
            drawn = new_client_id(request.name, self._random.bytes(RANDOM_BYTES))
            registered = self._draw(caller, request, drawn)
            if await self._insert(caller, registered.client, chosen=False):
                return registered
        raise TokenServiceError(Reason.OVERLOADED, "no free client id was found")

    async def _insert(self, caller: Caller, client: Client, *, chosen: bool) -> bool:
        audit = caller.audit(
            client.created_at,
            "client.register",
            target=client.client_id,
            details=f"name={client.name}",
        )
        return await self._shield.run(self._store.insert(client, audit, over_rejected=chosen))

    def _draw(self, caller: Caller, request: Registration, client_id: str) -> Registered:
        context = b"register\0" + client_id.encode() + b"\0" + self._random.bytes(32)
        secret, secret_hash, pepper_id = self._secrets.make(REGISTRATION_SECRET_CODE, context)
        now = self._clock.now()
        client = Client(
            client_id=client_id,
            name=request.name,
            contact=request.contact,
            state=ClientState.PENDING,
            policy=request.policy,
            valid_rev=0,
            registered_by=caller.client_id,
            reviewed_by="",
            review_note="",
            created_at=now,
            updated_at=now,
            registration_hash=secret_hash,
            registration_pepper=pepper_id,
        )
        return Registered(client, secret)
