"""The services of a server: servicers given their use cases."""

from collections.abc import Iterator
from types import ModuleType

from token_service.app.parts import Parts
from token_service.app.usecases.compose import UseCases, compose_usecases
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
from token_service.rpc.servicers.pairing import PairingServicer
from token_service.rpc.servicers.sessions import SessionServicer
from token_service.rpc.servicers.tokens import TokenServicer
from token_service.rpc.servicers.trust import TrustServicer
from token_service.rpc.servicers.users import UserServicer
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


def build_server(settings: Settings, parts: Parts, *, shares_port: bool) -> RpcServer:
    """A server with all services, not started yet; `shares_port` where others of ours may listen
    on the same one."""
    usecases = compose_usecases(settings, parts)
    server = RpcServer(
        pipeline=_pipeline(settings, parts, usecases),
        options=_options(settings, shares_port),
        usable=lambda: parts.trust.is_fresh() and parts.replication.sufficient,
    )
    for module, name, servicer in _servicers(settings, parts, usecases):
        server.add(module.DESCRIPTOR.services_by_name[name], servicer)
    return server


def _pipeline(settings: Settings, parts: Parts, usecases: UseCases) -> Pipeline:
    gate = Gate(
        authenticator=usecases.clients.authenticate_caller,
        require_fresh=parts.trust.require_fresh,
        is_fresh=parts.trust.is_fresh,
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
    return Pipeline(
        gate,
        parts.durability,
        bounds=bounds,
        rate_scale=settings.rate_scale,
        # Who takes longer has a view that is too old anyway.
        patience=settings.staleness_limit.total_seconds(),
    )


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


def _servicers(
    settings: Settings, parts: Parts, usecases: UseCases
) -> Iterator[tuple[ModuleType, str, object]]:
    yield token_service_pb2, "TokenService", _tokens(usecases)
    yield trust_service_pb2, "TrustService", _trust(settings, parts, usecases)
    yield session_service_pb2, "SessionService", _sessions(usecases)
    yield pairing_service_pb2, "PairingService", _pairing(settings, usecases)
    yield client_service_pb2, "ClientService", _clients(parts, usecases)
    yield user_service_pb2, "UserService", _users(usecases)
    yield key_service_pb2, "KeyService", _keys(usecases)
    yield code_service_pb2, "CodeService", _codes(usecases)


def _tokens(usecases: UseCases) -> TokenServicer:
    return TokenServicer(
        issue=usecases.login.issue,
        exchange=usecases.sessions.exchange,
        reauthenticate=usecases.login.reauthenticate,
        validate=usecases.tokens.validate,
        revoke=usecases.tokens.revoke,
    )


def _trust(settings: Settings, parts: Parts, usecases: UseCases) -> TrustServicer:
    return TrustServicer(
        feed=parts.trust,
        report_activity=usecases.sessions.report_activity,
        clock=parts.clock,
        client_cache=parts.client_cache,
        heartbeat=settings.heartbeat.total_seconds(),
    )


def _sessions(usecases: UseCases) -> SessionServicer:
    of = usecases.sessions
    return SessionServicer(list_sessions=of.list, get_session=of.get, revoke=of.revoke)


def _pairing(settings: Settings, usecases: UseCases) -> PairingServicer:
    of = usecases.pairing
    return PairingServicer(
        start=of.start,
        watch=of.watch,
        scan=of.scan,
        approve=of.approve,
        end=of.end,
        collect=of.collect,
        uri_prefix=settings.qr_uri_prefix,
    )


def _clients(parts: Parts, usecases: UseCases) -> ClientServicer:
    of = usecases.clients
    return ClientServicer(
        register=of.register,
        review=of.review,
        collect=of.collect,
        rotate=of.rotate,
        administration=of.administration,
        limits=usecases.shared.limits,
        clock=parts.clock,
    )


def _users(usecases: UseCases) -> UserServicer:
    of = usecases.users
    return UserServicer(
        create=of.create, set_password=of.set_password, users=of.administration, roles=of.roles
    )


def _keys(usecases: UseCases) -> KeyServicer:
    return KeyServicer(usecases.keys.administration, usecases.keys.compromise)


def _codes(usecases: UseCases) -> CodeServicer:
    of = usecases.codes
    return CodeServicer(issue=of.issue, redeem=of.redeem, administration=of.administration)
