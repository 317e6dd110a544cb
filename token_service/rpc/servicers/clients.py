"""ClientService: registering, reviewing and administering applications."""

import structlog

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.ports import Clock
from token_service.rpc.mapping import checks
from token_service.rpc.mapping import clients as mapping
from token_service.rpc.mapping.client_policy import client_id
from token_service.rpc.mapping.tokens import note, timestamp
from token_service.usecases.clients.administration import ClientAdministration, ReviewClient
from token_service.usecases.clients.credentials import CollectClientCredentials, RotateClientSecret
from token_service.usecases.clients.registration import RegisterClient
from token_service.usecases.tokens.token_limits import TokenLimits
from tokenservice.v1 import client_service_pb2 as pb

_log = structlog.get_logger(__name__)


class ClientServicer:
    """Maps requests, calls the use cases, maps outcomes."""

    def __init__(
        self,
        *,
        register: RegisterClient,
        review: ReviewClient,
        collect: CollectClientCredentials,
        rotate: RotateClientSecret,
        administration: ClientAdministration,
        limits: TokenLimits,
        clock: Clock,
    ) -> None:
        self._register = register
        self._review = review
        self._collect = collect
        self._rotate = rotate
        self._administration = administration
        self._limits = limits
        self._clock = clock

    async def register_client(
        self, caller: Caller, request: pb.RegisterClientRequest
    ) -> pb.RegisterClientResponse:
        """Put down a registration."""
        registered = await self._register(caller, mapping.registration(request))
        return pb.RegisterClientResponse(
            client_id=registered.client.client_id,
            registration_secret=registered.registration_secret,
            state=checks.wire(registered.client.state),
        )

    async def review_client(
        self, caller: Caller, request: pb.ReviewClientRequest
    ) -> pb.ReviewClientResponse:
        """Approve or reject a registration."""
        changed = await self._review(caller, mapping.review(request))
        self._warn_of(changed.client)
        return pb.ReviewClientResponse(
            client=self._message(changed.client), revision=changed.revision
        )

    async def collect_client_credentials(
        self, caller: Caller, request: pb.CollectClientCredentialsRequest
    ) -> pb.CollectClientCredentialsResponse:
        """Hand out an approved client's credentials."""
        secret = await self._collect(caller, mapping.collect_request(request))
        return pb.CollectClientCredentialsResponse(
            client_id=request.client_id, client_secret=secret
        )

    async def rotate_client_secret(
        self, caller: Caller, request: pb.RotateClientSecretRequest
    ) -> pb.RotateClientSecretResponse:
        """Make a new secret."""
        rotated = await self._rotate(caller, mapping.rotate_request(request))
        ends = rotated.old_expires_at
        return pb.RotateClientSecretResponse(
            client_secret=rotated.client_secret,
            old_secret_expires_at=timestamp(ends) if ends else None,
            client=self._message(rotated.client),
        )

    async def disable_client(
        self, caller: Caller, request: pb.DisableClientRequest
    ) -> pb.DisableClientResponse:
        """Disable a client."""
        changed = await self._administration.disable(
            caller, client_id(request.client_id), note(request.note)
        )
        return pb.DisableClientResponse(
            client=self._message(changed.client), revision=changed.revision
        )

    async def enable_client(
        self, caller: Caller, request: pb.EnableClientRequest
    ) -> pb.EnableClientResponse:
        """Enable a client."""
        changed = await self._administration.enable(
            caller, client_id(request.client_id), note(request.note)
        )
        return pb.EnableClientResponse(client=self._message(changed.client))

    async def get_client(
        self, caller: Caller, request: pb.GetClientRequest
    ) -> pb.GetClientResponse:
        """Fetch one client."""
        wanted = mapping.optional_client_id(request.client_id)
        client = await self._administration.get(caller, wanted)
        return pb.GetClientResponse(client=self._message(client))

    async def list_clients(
        self, caller: Caller, request: pb.ListClientsRequest
    ) -> pb.ListClientsResponse:
        """List clients."""
        clients, next_page_token = await self._administration.page(
            caller,
            mapping.state_filter(request),
            checks.page_size(request.page_size),
            checks.page_token(request.page_token),
        )
        return pb.ListClientsResponse(
            clients=map(self._message, clients), next_page_token=next_page_token
        )

    async def update_client_policy(
        self, caller: Caller, request: pb.UpdateClientPolicyRequest
    ) -> pb.UpdateClientPolicyResponse:
        """Replace a client's policy."""
        changed = await self._administration.update_policy(
            caller,
            client_id(request.client_id),
            mapping.new_policy(request),
            note(request.note),
        )
        self._warn_of(changed.client)
        return pb.UpdateClientPolicyResponse(
            client=self._message(changed.client), revision=changed.revision
        )

    def _message(self, client: Client) -> pb.Client:
        longest = self._limits.longest_if_any(client.policy)
        return mapping.client_message(client, self._clock.now(), longest)

    def _warn_of(self, client: Client) -> None:
        """Say so where a browser may be given a token that it does not keep."""
        if self._limits.exceeds_cookie(client.policy):
            longest = self._limits.longest(client.policy)
            _log.warning("tokens_exceed_cookies", client=client.client_id, longest=longest)
