"""The services of a server: use cases given their parts, servicers given their use cases."""

from dataclasses import dataclass

from token_service.app.pairing import pairing_servicer
from token_service.app.parts import Parts
from token_service.config import Settings
from token_service.rpc.admission import Gate
from token_service.rpc.calls.pipeline import BOUNDS, Pipeline
from token_service.rpc.network.connections import ConnectionLimits
from token_service.rpc.network.tls import TlsFiles
from token_service.rpc.policy_table import Work
from token_service.rpc.server import RpcServer, ServerOptions
from token_service.rpc.servicers.clients import ClientServicer
from token_service.rpc.servicers.codes import CodeServicer
from token_service.rpc.servicers.keys import KeyServicer
from token_service.rpc.servicers.sessions import SessionServicer
from token_service.rpc.servicers.tokens import TokenServicer
from token_service.rpc.servicers.trust import TrustServicer
from token_service.rpc.servicers.users import UserServicer
from token_service.usecases.clients.administration import (
    ClientAdministration,
    RegisterClient,
    ReviewClient,
)
from token_service.usecases.clients.authenticate_caller import AuthenticateCaller
from token_service.usecases.clients.credentials import CollectClientCredentials, RotateClientSecret
from token_service.usecases.clients.records import ClientRecords
from token_service.usecases.codes.issue import IssueCode, IssueLimits
from token_service.usecases.codes.issued import CodeAdministration
from token_service.usecases.codes.redeem import RedeemCode, WrongCodeLimits
from token_service.usecases.keys.administration import CompromiseKey, KeyAdministration
from token_service.usecases.login.issue import Issue
from token_service.usecases.login.passwords import PasswordLimits, VerifyPassword
from token_service.usecases.login.reauthenticate import Reauthenticate
from token_service.usecases.refusals import Refusals
from token_service.usecases.sessions.exchange import Exchange, SessionRotation
from token_service.usecases.sessions.overview import (
    GetSession,
    ListSessions,
    RevokeSession,
    SessionAccess,
)
from token_service.usecases.tokens.activity import ReportActivity
from token_service.usecases.tokens.token_limits import TokenLimits
from token_service.usecases.tokens.token_set import TokenSetMaker
from token_service.usecases.tokens.validate import Validate
from token_service.usecases.trust.revoke import Revoke
from token_service.usecases.users.administration import CreateUser, UserAdministration
from token_service.usecases.users.roles import RoleAdministration
from token_service.usecases.users.set_password import SetPassword
from tokenservice.v1 import (
    client_service_pb2,
    code_service_pb2,
    key_service_pb2,
    pairing_service_pb2,
    session_service_pb2,
    token_service_pb2,
    trust_service_pb2,
    user_service_pb2,
)


@dataclass(frozen=True, slots=True)
class _Shared:
    """Use cases that several services need."""

    validate: Validate
    verify_password: VerifyPassword
    access: SessionAccess
    compromise_key: CompromiseKey
    refusals: Refusals


def build_server(settings: Settings, parts: Parts, *, shares_port: bool) -> RpcServer:
    """A server with all services, not started yet; `shares_port` where others of ours may listen
    on the same one."""
    shared = _shared(settings, parts)
    authenticator = AuthenticateCaller(
        parts.client_cache,
        parts.clients,
        parts.secrets,
        shared.validate,
        parts.clock,
        shared.refusals,
    )
    gate = Gate(
        authenticator,
        parts.trust.require_fresh,
        parts.trust.is_fresh,
        open_registration=settings.open_registration,
        client_certificates=settings.tls_client_ca is not None,
    )
    bounds = {
        Work.UNARY: settings.max_unary_calls,
        Work.STREAM: settings.max_streams,
        Work.PAIRING: settings.max_pairing_watches,
        Work.PASSWORD: settings.password_places,
        Work.PROBE: BOUNDS[Work.PROBE],
        Work.PROBE_STREAM: BOUNDS[Work.PROBE_STREAM],
    }
    pipeline = Pipeline(
        gate,
        bounds=bounds,
        rate_scale=settings.rate_scale,
        # Who takes longer has a view that is too old anyway.
        patience=settings.staleness_limit.total_seconds(),
    )
    server = RpcServer(pipeline, _options(settings, shares_port), parts.trust.is_fresh)
    for module, name, servicer in (
        (token_service_pb2, "TokenService", _token(parts, shared)),
        (trust_service_pb2, "TrustService", _trust(settings, parts)),
        (session_service_pb2, "SessionService", _session(parts, shared)),
        (
            pairing_service_pb2,
            "PairingService",
            pairing_servicer(settings, parts, shared.access, shared.refusals),
        ),
        (client_service_pb2, "ClientService", _client(settings, parts, shared.refusals)),
        (user_service_pb2, "UserService", _user(parts, shared)),
        (key_service_pb2, "KeyService", _key(settings, parts, shared)),
        (code_service_pb2, "CodeService", _code(settings, parts)),
    ):
        server.add(module.DESCRIPTOR.services_by_name[name], servicer)
    return server


def _options(settings: Settings, shares_port: bool) -> ServerOptions:
    tls = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls = TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    return ServerOptions(
        listen=settings.grpc_listen,
        tls=tls,
        reflection=settings.reflection,
        reuse_port=shares_port,
        connections=ConnectionLimits(
            settings.max_connections, settings.max_connections_per_address
        ),
        max_connection_streams=settings.max_connection_streams,
        max_connection_age=settings.max_connection_age.total_seconds(),
        drain_delay=settings.drain_delay.total_seconds(),
        grace_period=settings.grace_period.total_seconds(),
    )


def _shared(settings: Settings, parts: Parts) -> _Shared:
    limits = PasswordLimits(
        pair=settings.login_attempts_per_account_and_address,
        account=settings.login_attempts_per_account,
        address=settings.login_attempts_per_address,
        window=settings.login_window,
        lock=settings.login_lock,
    )
    return _Shared(
        validate=Validate(
            parts.tokens,
            parts.redis.facts,
            parts.trust,
            parts.clock,
            parts.activity,
            parts.identities,
        ),
        verify_password=VerifyPassword(
            parts.users,
            parts.hasher,
            parts.attempts,
            parts.redis.coarse,
            parts.secrets,
            parts.clock,
            limits,
        ),
        access=SessionAccess(parts.mint, parts.sessions, parts.clock),
        compromise_key=CompromiseKey(
            parts.keys,
            parts.keyring,
            parts.revocations,
            parts.trust,
            parts.clock,
            parts.shield,
            parts.key_maintenance,
        ),
        refusals=Refusals(parts.attempts, parts.secrets, parts.clock),
    )


def _token(parts: Parts, shared: _Shared) -> TokenServicer:
    maker = TokenSetMaker(parts.mint, parts.tokens, parts.random)
    rotation = SessionRotation(
        parts.client_cache,
        parts.mint,
        parts.sessions,
        parts.revocations,
        parts.trust,
        maker,
        parts.clock,
    )
    issue = Issue(
        parts.client_cache,
        shared.verify_password,
        parts.sessions,
        maker,
        parts.mint,
        parts.clock,
        parts.random,
        parts.shield,
    )
    revoke = Revoke(
        parts.mint,
        parts.tokens,
        parts.sessions,
        parts.redis.facts,
        parts.users,
        ClientRecords(parts.clients, parts.client_cache),
        parts.revocations,
        parts.trust,
        parts.clock,
        parts.shield,
        shared.compromise_key,
    )
    return TokenServicer(
        issue,
        Exchange(rotation, parts.shield),
        Reauthenticate(rotation, shared.verify_password, parts.clock, parts.shield),
        shared.validate,
        revoke,
    )


def _trust(settings: Settings, parts: Parts) -> TrustServicer:
    return TrustServicer(
        parts.trust,
        ReportActivity(parts.sessions, parts.clock),
        parts.clock,
        parts.client_cache,
        settings.heartbeat.total_seconds(),
    )


def _session(parts: Parts, shared: _Shared) -> SessionServicer:
    return SessionServicer(
        ListSessions(shared.access, parts.sessions, parts.clock),
        GetSession(parts.sessions),
        RevokeSession(
            shared.access,
            parts.sessions,
            parts.revocations,
            parts.trust,
            parts.clock,
            parts.shield,
        ),
    )


def _client(settings: Settings, parts: Parts, refusals: Refusals) -> ClientServicer:
    store, clock, shield = parts.clients, parts.clock, parts.shield
    records = ClientRecords(store, parts.client_cache)
    anybody = settings.open_registration
    limits = TokenLimits(parts.tokens)
    return ClientServicer(
        RegisterClient(
            store, parts.secrets, clock, parts.random, shield, open_registration=anybody
        ),
        ReviewClient(store, records, parts.trust, clock, shield, limits, refusals),
        CollectClientCredentials(
            store, records, parts.secrets, clock, shield, refusals, open_registration=anybody
        ),
        RotateClientSecret(store, records, parts.secrets, clock, shield, refusals),
        ClientAdministration(store, records, parts.trust, clock, shield, limits, refusals),
        limits,
        clock,
    )


def _user(parts: Parts, shared: _Shared) -> UserServicer:
    users, trust, clock, shield = parts.users, parts.trust, parts.clock, parts.shield
    return UserServicer(
        CreateUser(users, parts.hasher, clock, parts.random, shield),
        SetPassword(users, shared.access, parts.hasher, trust, clock, shield),
        UserAdministration(users, parts.attempts, parts.secrets, trust, clock, shield),
        RoleAdministration(users, trust, clock, shield),
    )


def _key(settings: Settings, parts: Parts, shared: _Shared) -> KeyServicer:
    administration = KeyAdministration(
        parts.keys,
        parts.keyring,
        parts.clock,
        parts.shield,
        parts.key_schedule,
        settings.signing_algorithms[0],
    )
    return KeyServicer(administration, shared.compromise_key)


def _code(settings: Settings, parts: Parts) -> CodeServicer:
    store, secrets, clock = parts.codes, parts.code_secrets, parts.clock
    limits = IssueLimits(
        recipient=settings.codes_per_recipient,
        caller=settings.codes_per_caller,
        window=settings.codes_window,
    )
    return CodeServicer(
        IssueCode(
            store, secrets, parts.secrets, parts.attempts, clock, parts.random, parts.shield, limits
        ),
        RedeemCode(store, secrets, parts.secrets, parts.attempts, clock, WrongCodeLimits()),
        CodeAdministration(store, clock, parts.shield),
    )
