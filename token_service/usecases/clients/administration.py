"""Clients: registered by one party, reviewed here by another, and administered from then on."""

from dataclasses import dataclass

from token_service.domain.audit import AuditEvent
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.clients.policy_rules import check_policy
from token_service.domain.clients.power import require_may_change, require_may_review
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission
from token_service.domain.ports import ClientStore, Clock, Trust
from token_service.usecases.clients.records import ClientRecords, wrong_state
from token_service.usecases.refusals import Refusals
from token_service.usecases.shielding import Shield
from token_service.usecases.tokens.token_limits import TokenLimits

_TRIES = 4
_SETTLED = frozenset({ClientState.APPROVED, ClientState.ACTIVE, ClientState.DISABLED})


@dataclass(frozen=True, slots=True)
class Review:
    """A decision on a registration. `policy` None: the one that was asked for."""

    client_id: str
    approve: bool
    note: str = ""
    policy: ClientPolicy | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """The client as it is now, and the trust revision from which the change holds."""

    client: Client
    revision: int


class ReviewClient:
    """Raises PERMISSION_MISSING, CLIENT_NOT_FOUND, CLIENT_STATE, SELF_REVIEW and FIELD_INVALID."""

    def __init__(
        self,
        *,
        store: ClientStore,
        records: ClientRecords,
        trust: Trust,
        clock: Clock,
        shield: Shield,
        limits: TokenLimits,
        refusals: Refusals,
    ) -> None:
        self._store = store
        self._records = records
        self._trust = trust
        self._clock = clock
        self._shield = shield
        self._limits = limits
        self._refusals = refusals

    async def __call__(self, caller: Caller, review: Review) -> Changed:
        """Approve or reject a PENDING client, once and for good."""
        work = self._review(caller, review)
        return await self._refusals.trace(caller, "client.review", review.client_id, work)

    async def _review(self, caller: Caller, review: Review) -> Changed:
        caller.require(Permission.ADMIN_CLIENTS)
        if review.policy is not None:
            check_policy(review.policy)
        client = await self._records.require(review.client_id)
        policy = (review.policy or client.policy) if review.approve else None
        require_may_review(caller, client, policy)
        if client.state is not ClientState.PENDING:
            raise _reviewed_before()
        if policy is not None:
            self._limits.require(policy)
        state = ClientState.APPROVED if review.approve else ClientState.REJECTED
        audit = caller.audit(
            self._clock.now(),
            "client.review",
            state.name.lower(),
            target=client.client_id,
            details=_noted("", review.note),
        )
        decided = await self._shield.run(
            self._store.review(client.client_id, state, policy, review.note, audit)
        )
        if not decided:
            raise _reviewed_before()
        return Changed(await self._records.require(client.client_id), self._trust.state.revision)


class ClientAdministration:
    """Looking at clients, and changing those that were let in."""

    def __init__(
        self,
        *,
        store: ClientStore,
        records: ClientRecords,
        trust: Trust,
        clock: Clock,
        shield: Shield,
        limits: TokenLimits,
        refusals: Refusals,
    ) -> None:
        self._store = store
        self._records = records
        self._trust = trust
        self._clock = clock
        self._shield = shield
        self._limits = limits
        self._refusals = refusals

    async def get(self, caller: Caller, client_id: str) -> Client:
        """The caller itself (also for an empty id), or with admin.clients any client.

        Raises PERMISSION_MISSING and CLIENT_NOT_FOUND.
        """
        return await self._records.own_or_administered(caller, client_id)

    async def page(
        self, caller: Caller, state: ClientState | None, page_size: int, page_token: str
    ) -> tuple[tuple[Client, ...], str]:
        """Clients in the order of their ids, and the next page's token ("" on the last)."""
        caller.require(Permission.ADMIN_CLIENTS)
        return await self._store.page(state, page_size, page_token)

    async def disable(self, caller: Caller, client_id: str, note: str) -> Changed:
        """Stop recognising the client and revoke its sessions and tokens.

        Raises CLIENT_NOT_FOUND, CLIENT_STATE for a client that was never let in, and
        PERMISSION_MISSING for one with administrative permissions that the caller lacks.
        """
        work = self._switch(caller, client_id, note, "client.disable")
        return await self._refusals.trace(caller, "client.disable", client_id, work)

    async def enable(self, caller: Caller, client_id: str, note: str) -> Changed:
        """Let a disabled client work again. Raises as disable does."""
        work = self._switch(caller, client_id, note, "client.enable")
        return await self._refusals.trace(caller, "client.enable", client_id, work)

    async def update_policy(
        self, caller: Caller, client_id: str, policy: ClientPolicy, note: str
    ) -> Changed:
        """Replace the policy; where it allows less, access tokens in use are to be exchanged.

        Raises CLIENT_NOT_FOUND, CLIENT_STATE for a client that was never let in, FIELD_INVALID
        and what require_may_change raises.
        """
        work = self._update_policy(caller, client_id, policy, note)
        return await self._refusals.trace(caller, "client.update_policy", client_id, work)

    async def _update_policy(
        self, caller: Caller, client_id: str, policy: ClientPolicy, note: str
    ) -> Changed:
        caller.require(Permission.ADMIN_CLIENTS)
        check_policy(policy)
        self._limits.require(policy)
        for _ in range(_TRIES):
            client = await self._require_settled(client_id)
            require_may_change(caller, client, policy)
            narrowed = policy.narrows(client.policy)
            audit = self._audit(
                caller, "client.update_policy", client_id, note, f"narrowed={narrowed}"
            )
            changed = await self._shield.run(
                self._store.update_policy(
                    client_id, policy, narrowed=narrowed, audit=audit, former=client.policy
                )
            )
            if changed is not None:
                return await self._heard(changed)
        raise _keeps_changing()

    async def _switch(self, caller: Caller, client_id: str, note: str, action: str) -> Changed:
        caller.require(Permission.ADMIN_CLIENTS)
        enabled = action == "client.enable"
        for _ in range(_TRIES):
            client = await self._require_settled(client_id)
            if enabled and caller.client_id == client_id:
                # It calls, so it was active. If it is no longer, this must not undo that.
                return Changed(client, self._trust.state.revision)
            require_may_change(caller, client)
            audit = self._audit(caller, action, client_id, note)
            changed = await self._shield.run(
                self._store.set_enabled(client_id, enabled, audit, former=client.policy)
            )
            if changed is not None:
                return await self._heard(changed)
        raise _keeps_changing()

    async def _heard(self, changed: tuple[Client, int]) -> Changed:
        """Once this node knows of the change itself."""
        client, revision = changed
        await self._trust.reach(revision)
        await self._records.find(client.client_id)
        return Changed(client, revision)

    async def _require_settled(self, client_id: str) -> Client:
        client = await self._records.require(client_id)
        if client.state not in _SETTLED:
            raise wrong_state(client)
        return client

    def _audit(
        self, caller: Caller, action: str, client_id: str, note: str, details: str = ""
    ) -> AuditEvent:
        return caller.audit(
            self._clock.now(), action, target=client_id, details=_noted(details, note)
        )


def _reviewed_before() -> TokenServiceError:
    return TokenServiceError(Reason.CLIENT_STATE, "the registration was reviewed before")


def _keeps_changing() -> TokenServiceError:
    return TokenServiceError(Reason.OVERLOADED, "the policy keeps changing")


def _noted(details: str, note: str) -> str:
    return f"{details} note={note}".lstrip() if note else details
