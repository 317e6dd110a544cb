"""ClientService messages to domain values and back."""

from datetime import datetime

from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import invalid_field
from token_service.domain.kinds import ClientState
from token_service.rpc.mapping import checks
from token_service.rpc.mapping.client_policy import client_id, policy_from, policy_message
from token_service.rpc.mapping.tokens import note, timestamp
from token_service.usecases.clients.administration import Review
from token_service.usecases.clients.credentials import (
    DEFAULT_OVERLAP,
    MAX_OVERLAP,
    CollectRequest,
    RotateRequest,
    end_of_former,
)
from token_service.usecases.clients.registration import Registration
from tokenservice.v1 import client_service_pb2 as pb

MAX_CONTACT = 256
MAX_REQUEST_ID = 64
MAX_SECRET = 256


def registration(message: pb.RegisterClientRequest) -> Registration:
    """Check and map a RegisterClient."""
    policy = policy_from(message.policy) if message.HasField("policy") else ClientPolicy()
    return Registration(
        name=checks.required(message.name, "name"),
        contact=checks.required(message.contact, "contact", at_most=MAX_CONTACT),
        policy=policy,
        client_id=optional_client_id(message.client_id),
    )


def review(message: pb.ReviewClientRequest) -> Review:
    """Check and map a ReviewClient."""
    decision = message.WhichOneof("decision")
    if decision is None:
        raise invalid_field("decision", "must be given")
    approve = decision == "approve"
    if message.HasField("policy") and not approve:
        raise invalid_field("policy", "does not go with a rejection")
    return Review(
        client_id=client_id(message.client_id),
        approve=approve,
        note=note(message.note),
        policy=policy_from(message.policy) if message.HasField("policy") else None,
    )


def collect_request(message: pb.CollectClientCredentialsRequest) -> CollectRequest:
    """Check and map a CollectClientCredentials. What is no secret of ours is a wrong one."""
    return CollectRequest(
        client_id=client_id(message.client_id),
        registration_secret=checks.required(
            message.registration_secret, "registration_secret", at_most=MAX_SECRET
        ),
        request_id=_request_id(message.request_id),
    )


def rotate_request(message: pb.RotateClientSecretRequest) -> RotateRequest:
    """Check and map a RotateClientSecret."""
    overlap = DEFAULT_OVERLAP
    if message.HasField("overlap"):
        overlap = checks.duration(message.overlap, "overlap")
        if overlap > MAX_OVERLAP:
            raise invalid_field("overlap", f"must be at most {MAX_OVERLAP.days} days")
    return RotateRequest(
        request_id=_request_id(message.request_id),
        client_id=optional_client_id(message.client_id),
        overlap=overlap,
    )


def new_policy(message: pb.UpdateClientPolicyRequest) -> ClientPolicy:
    """Check and map an UpdateClientPolicy's policy."""
    if not message.HasField("policy"):
        raise invalid_field("policy", "must be given")
    return policy_from(message.policy)


def state_filter(message: pb.ListClientsRequest) -> ClientState | None:
    """Check and map a ListClients' state; None for every state."""
    return checks.member(message.state, "state", ClientState, optional=True) or None


def optional_client_id(value: str) -> str:
    """A client id, or empty for the caller's own."""
    return client_id(value) if value else ""


def client_message(client: Client, now: datetime, longest_token: int = 0) -> pb.Client:
    """Map a client; of its secrets only when they were made and until when they work."""
    newest = max(client.secrets, key=lambda secret: secret.created_at, default=None)
    old = end_of_former(client, newest.secret_hash, now) if newest else None
    return pb.Client(
        client_id=client.client_id,
        name=client.name,
        contact=client.contact,
        state=checks.wire(client.state),
        policy=policy_message(client.policy),
        registered_by=client.registered_by,
        reviewed_by=client.reviewed_by,
        review_note=client.review_note,
        created_at=timestamp(client.created_at),
        updated_at=timestamp(client.updated_at),
        secret_created_at=timestamp(newest.created_at) if newest else None,
        old_secret_expires_at=timestamp(old) if old else None,
        longest_token=longest_token,
    )


def _request_id(value: str) -> str:
    checks.required(value, "request_id", at_most=MAX_REQUEST_ID)
    if not value.isascii():
        raise invalid_field("request_id", "must be printable ASCII")
    return value
