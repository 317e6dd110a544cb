"""Who may call which method, how large a request may be, how often and for how long.

One row per method; a method without a row is not served.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from token_service.domain.kinds import Permission

KIB = 1024
LARGE_REQUEST = 5 * KIB * KIB // 2
"""2.5 MiB: 256 checks with a token of 8 KiB each, and what stands around them."""


class Anonymous(Enum):
    """Whether a method may be called without credentials."""

    NEVER = auto()
    WHERE_OPEN = auto()
    """Where the setting `open_registration` says so, limited by address."""
    ALWAYS = auto()
    """Credentials are not looked at."""


class Work(Enum):
    """Classes of work, each with its own bound on calls in flight."""

    UNARY = auto()
    STREAM = auto()
    PAIRING = auto()
    """Streams of pairings: as many as people look at login pages, so they keep no others out."""
    PASSWORD = auto()
    PROBE = auto()
    """Short calls of health and reflection, by anybody."""
    PROBE_STREAM = auto()
    """Their streams, which last as long as an anonymous caller likes: apart, so that whoever
    fills them neither keeps callers out nor has health checks fail."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` calls at once, and `per_second` in the long run."""

    per_second: float
    burst: int


WRONG_CREDENTIALS = Rate(10, 200)
"""Of one network: what more than that is not compared with what the store has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodPolicy:
    """One method's row.

    The caller needs any one of `any_of`; with none listed, every authenticated caller may call,
    and the use case decides by the target. `rate` holds per client, `anonymous_rate` per address
    for callers without credentials. `default_deadline` is in seconds and also the longest; 0 for
    streams without an end. `hot` calls leave no log line when they succeed; nor do `audited`
    ones: frequent calls whose audit row has all that the line would say, request id included.
    `acknowledges` calls answer once what they say outlives a failover; the others only tell what
    is to be seen now.
    `dispensable` calls that find no room are told that there is no such method: their callers go
    on without.
    """

    any_of: frozenset[Permission] = frozenset()
    anonymous: Anonymous = Anonymous.NEVER
    work: Work = Work.UNARY
    max_bytes: int = 64 * KIB
    rate: Rate = Rate(200, 400)
    anonymous_rate: Rate = Rate(1, 30)
    default_deadline: float = 10.0
    hot: bool = False
    audited: bool = False
    acknowledges: bool = True
    dispensable: bool = False


def _needs(*permissions: Permission, **row: object) -> MethodPolicy:
    return MethodPolicy(any_of=frozenset(permissions), **row)  # type: ignore[arg-type]


def _reads(*permissions: Permission, **row: object) -> MethodPolicy:
    """The row of a method that changes nothing which must not be lost."""
    return _needs(*permissions, acknowledges=False, **row)


_EXCHANGES = Rate(2_000, 4_000)
_CHECKS = Rate(50_000, 50_000)
_ADMINISTRATION = Rate(50, 200)
_STREAM_OPENINGS = Rate(10, 50)
_PROBES = Rate(100, 200)

_TOKEN = {
    "Issue": _needs(Permission.TOKENS_ISSUE, work=Work.PASSWORD, default_deadline=15.0),
    "Exchange": _needs(Permission.TOKENS_EXCHANGE, rate=_EXCHANGES, audited=True),
    "Reauthenticate": _needs(Permission.TOKENS_EXCHANGE, work=Work.PASSWORD, default_deadline=15.0),
    # A token of any length is answered with a verdict, so the request may be long as a whole;
    # every other field has its own limit.
    "Validate": _reads(
        Permission.TOKENS_VALIDATE,
        max_bytes=LARGE_REQUEST,
        rate=_CHECKS,
        default_deadline=5.0,
        hot=True,
    ),
    "BatchValidate": _reads(
        Permission.TOKENS_VALIDATE,
        max_bytes=LARGE_REQUEST,
        rate=_CHECKS,
        default_deadline=5.0,
        hot=True,
    ),
    "Revoke": _needs(Permission.TOKENS_REVOKE, Permission.TOKENS_REVOKE_ANY, rate=_EXCHANGES),
}

_TRUST = {
    "WatchTrust": _reads(
        Permission.TRUST_WATCH, work=Work.STREAM, rate=_STREAM_OPENINGS, default_deadline=0.0
    ),
    "GetTrust": _reads(
        Permission.TRUST_WATCH, work=Work.STREAM, rate=_STREAM_OPENINGS, default_deadline=30.0
    ),
    # A report that is lost costs a session a minute of its idle time.
    "ReportActivity": _reads(Permission.TRUST_WATCH, max_bytes=256 * KIB),
}

_SESSION = {
    "ListSessions": _reads(Permission.SESSIONS_READ),
    "GetSession": _reads(Permission.SESSIONS_READ),
    "RevokeSession": _needs(Permission.TOKENS_REVOKE, rate=_EXCHANGES),
    "RevokeOtherSessions": _needs(Permission.TOKENS_REVOKE),
}

# Each person at a login page is a stream of the one gateway, and all come back after a restart.
_PAIRING_WATCHES = Rate(500, 5_000)
_PAIRING = {
    # Until somebody scans it a pairing is in Redis and may be lost.
    "StartPairing": _reads(Permission.PAIRING),
    "WatchPairing": _reads(
        Permission.PAIRING, work=Work.PAIRING, rate=_PAIRING_WATCHES, default_deadline=1_200.0
    ),
    "GetPairing": _reads(Permission.PAIRING, rate=_EXCHANGES),
    "ScanPairing": _needs(Permission.PAIRING),
    "ApprovePairing": _needs(Permission.PAIRING),
    "DenyPairing": _needs(Permission.PAIRING),
    "CancelPairing": _needs(Permission.PAIRING),
    "CollectPairing": _needs(Permission.PAIRING),
}

_CLIENT = {
    "RegisterClient": _needs(
        Permission.CLIENTS_REGISTER, anonymous=Anonymous.WHERE_OPEN, rate=_ADMINISTRATION
    ),
    "ReviewClient": _needs(Permission.ADMIN_CLIENTS, rate=_ADMINISTRATION),
    "CollectClientCredentials": _needs(
        Permission.CLIENTS_REGISTER, anonymous=Anonymous.WHERE_OPEN, rate=_ADMINISTRATION
    ),
    "RotateClientSecret": _needs(rate=_ADMINISTRATION),
    "DisableClient": _needs(Permission.ADMIN_CLIENTS, rate=_ADMINISTRATION),
    "EnableClient": _needs(Permission.ADMIN_CLIENTS, rate=_ADMINISTRATION),
    "GetClient": _reads(rate=_ADMINISTRATION),
    "ListClients": _reads(Permission.ADMIN_CLIENTS, rate=_ADMINISTRATION),
    "UpdateClientPolicy": _needs(Permission.ADMIN_CLIENTS, rate=_ADMINISTRATION),
}

_USER = {
    "CreateUser": _needs(
        Permission.ADMIN_USERS, work=Work.PASSWORD, rate=_ADMINISTRATION, default_deadline=15.0
    ),
    "SetPassword": _needs(
        Permission.ADMIN_USERS,
        Permission.TOKENS_EXCHANGE,
        work=Work.PASSWORD,
        default_deadline=15.0,
    ),
    "DisableUser": _needs(Permission.ADMIN_USERS, rate=_ADMINISTRATION),
    "EnableUser": _needs(Permission.ADMIN_USERS, rate=_ADMINISTRATION),
    "DeleteUser": _needs(Permission.ADMIN_USERS, rate=_ADMINISTRATION),
    "GetUser": _reads(Permission.ADMIN_USERS, rate=_ADMINISTRATION),
    "ListUsers": _reads(Permission.ADMIN_USERS, rate=_ADMINISTRATION),
    "UnlockUser": _needs(Permission.ADMIN_USERS, rate=_ADMINISTRATION),
    "SetRoles": _needs(Permission.ADMIN_USERS, rate=_ADMINISTRATION),
    "DefineRole": _needs(Permission.ADMIN_USERS, rate=_ADMINISTRATION),
    "ListRoles": _reads(Permission.ADMIN_USERS, rate=_ADMINISTRATION),
}

_KEY = {
    "ListKeys": _reads(Permission.ADMIN_KEYS, rate=_ADMINISTRATION),
    "RotateKey": _needs(Permission.ADMIN_KEYS, rate=_ADMINISTRATION),
    "CompromiseKey": _needs(Permission.ADMIN_KEYS, rate=_ADMINISTRATION),
}

_CODE = {
    "IssueCode": _needs(Permission.CODES),
    "RedeemCode": _needs(Permission.CODES, rate=_EXCHANGES, audited=True),
    "RevokeCode": _needs(Permission.CODES),
    "GetCode": _reads(Permission.CODES),
}

_PROBE = MethodPolicy(
    anonymous=Anonymous.ALWAYS,
    work=Work.PROBE,
    anonymous_rate=_PROBES,
    default_deadline=5.0,
    hot=True,
    acknowledges=False,
)
_PROBE_STREAM = MethodPolicy(
    anonymous=Anonymous.ALWAYS,
    work=Work.PROBE_STREAM,
    anonymous_rate=_PROBES,
    default_deadline=0.0,
    acknowledges=False,
)
_HEALTH_WATCH = replace(_PROBE_STREAM, dispensable=True)

METHODS: Mapping[str, MethodPolicy] = {
    f"/{service}/{method}": row
    for service, rows in {
        "tokenservice.v1.TokenService": _TOKEN,
        "tokenservice.v1.TrustService": _TRUST,
        "tokenservice.v1.SessionService": _SESSION,
        "tokenservice.v1.PairingService": _PAIRING,
        "tokenservice.v1.ClientService": _CLIENT,
        "tokenservice.v1.UserService": _USER,
        "tokenservice.v1.KeyService": _KEY,
        "tokenservice.v1.CodeService": _CODE,
        "grpc.health.v1.Health": {
            "Check": _PROBE,
            "List": _PROBE,
            "Watch": _HEALTH_WATCH,
        },
        "grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo": _PROBE_STREAM},
        "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": _PROBE_STREAM},
    }.items()
    for method, row in rows.items()
}
"""The policy table, by full method name as it appears on the wire."""
