"""Whether PostgreSQL can be the truth: primary, durable, migrated, and the log in order."""

import time
from dataclasses import dataclass
from typing import Self

import asyncpg

from token_service.adapters.postgres import health
from token_service.adapters.postgres.connecting import Connector, Pooler, Source, cause
from token_service.adapters.postgres.failures import cause_of
from token_service.adapters.postgres.health import StoreHealth
from token_service.adapters.postgres.pool import Connection
from token_service.adapters.postgres.schema import Schema, read_schema
from token_service.cli.doctor import succession
from token_service.cli.doctor.checks import Check, Status, fail, ok, warn
from token_service.config import Settings

MIN_VERSION = health.MIN_VERSION // 10_000
MAX_CLOCK_OFFSET = 2.0  # seconds; the service goes by PostgreSQL's clock, people by this one's
MANY_ENTRIES = 100_000
_SECONDS = 5.0
_MIGRATIONS = "migrations"
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"

_READ_TRUST = f"""
SELECT epoch::text, revision, valid_rev,
       (SELECT max(revision) FROM trust_log) AS newest_entry,
       (SELECT count(*) FROM (SELECT FROM trust_log LIMIT {MANY_ENTRIES + 1}) l) AS entries
FROM trust_head
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresFacts:
    """What the server says of itself. `clock_offset` is in seconds, its clock minus ours."""

    health: StoreHealth
    clock_offset: float


@dataclass(frozen=True, slots=True)
class Demands:
    """What the settings ask of the server: that its replication is synchronous; a managed service
    that makes up for some of its settings."""

    synchronous: bool = False
    managed_by: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of a configuration."""
        return cls(settings.postgres_synchronous == "required", settings.postgres_managed_by)


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """The head of the trust log, and its entries."""

    epoch: str
    revision: int
    valid_rev: int
    newest_entry: int | None
    entries: int


async def check(source: Source, direct: Source, demands: Demands) -> tuple[list[Check], bool]:
    """Check the server, the schema and the trust log; also whether the tables can be read."""
    found: list[Check] = []
    if direct != source:
        found, connection = await _connect(source, "postgres")
        if connection is not None:
            found = await _check_limits(connection, source)
    name = "postgres" if direct == source else "postgres directly"
    refused, connection = await _connect(direct, name)
    found += refused
    if connection is None:
        return found, False
    try:
        checks, readable = await _examine(connection, demands)
    except _FAILURES as error:
        return [*found, _failed(direct, name, str(cause_of(error)))], False
    refused = [check for check in found if check.status is Status.FAIL]
    return found + checks, readable and not refused


async def _connect(source: Source, name: str) -> "tuple[list[Check], Connection | None]":
    """A connection by this address, or what keeps it from being made."""
    connector = Connector(source, timeout=_SECONDS, name="token-service doctor")
    try:
        return [], await connector.connect()
    except _FAILURES as error:
        return [_failed(source, name, cause(error))], None


def _failed(source: Source, name: str, why: str) -> Check:
    """`why` is not the error's text: that may quote the address."""
    advice = f"see that it runs and that {source.setting} is right"
    return fail(name, f"{source.setting}: {why}", advice)


async def _check_limits(connection: Connection, source: Source) -> list[Check]:
    """Whether a statement of its own has an end behind a pooler of transactions, where this
    service cannot set one."""
    try:
        if source.pooler is not Pooler.TRANSACTION:
            return []
        row = await connection.fetchrow("SELECT current_setting('statement_timeout') AS of_role")
    except _FAILURES as error:
        return [_failed(source, "postgres", str(cause_of(error)))]
    finally:
        await connection.close(timeout=_SECONDS)
    if row is not None and row["of_role"] != "0":
        return [ok("pooler", f"transactions, statement_timeout {row['of_role']}")]
    return [
        warn(
            "pooler",
            "transactions; statements have no statement_timeout",
            "ALTER ROLE … SET statement_timeout = '3s' for the user of this address: a statement "
            "whose client has gone would else wait for locks for ever",
        )
    ]


async def _examine(connection: Connection, demands: Demands) -> tuple[list[Check], bool]:
    try:
        checks = judge(await read_facts(connection), demands)
        migrations = await check_migrations(connection)
        checks.append(migrations)
        migrated = migrations.status is not Status.FAIL
        if migrated:
            checks.append(judge_trust(await read_trust(connection)))
            checks += succession.judge(await succession.read(connection))
        return checks, migrated
    finally:
        await connection.close(timeout=_SECONDS)


async def read_facts(connection: Connection) -> PostgresFacts:
    """Read the server's settings and clock."""
    before = time.time()
    clock = await connection.fetchval(_CLOCK, timeout=_SECONDS)
    after = time.time()
    offset = clock - (before + after) / 2
    return PostgresFacts(health=await health.inspect(connection), clock_offset=offset)


async def read_trust(connection: Connection) -> TrustFacts | None:
    """Read the head of the trust log; None when it has no row."""
    row = await connection.fetchrow(_READ_TRUST, timeout=_SECONDS)
    return None if row is None else TrustFacts(**row)


def judge(facts: PostgresFacts, demands: Demands) -> list[Check]:
    """Judge what the server says of itself."""
    said = facts.health
    return [
        _version(said.version // 10_000),
        _role(said),
        _durability(said, demands),
        *([_replication(said, demands)] if said.is_primary else []),
        _clock(facts.clock_offset),
    ]


def judge_trust(facts: TrustFacts | None) -> Check:
    """Judge the trust log."""
    name = "trust log"
    if facts is None:
        return fail(name, "has no head", "restore the database: the row of trust_head is missing")
    many = facts.entries > MANY_ENTRIES  # and not counted any further
    entries = f"more than {MANY_ENTRIES}" if many else facts.entries
    detail = f"revision {facts.revision}, {entries} entries, log {facts.epoch}"
    if max(facts.newest_entry or 0, facts.valid_rev) > facts.revision:
        return fail(
            name,
            f"{detail}; its newest entry is {facts.newest_entry}",
            "the head lies behind its log: was a backup restored? "
            "Run `token-service restore-fence`",
        )
    if many:
        return warn(name, detail, "entries are dropped by a running server: is one running?")
    return ok(name, detail)


async def check_migrations(connection: Connection) -> Check:
    """Compare the migrations of the database with those of this version."""
    try:
        return judge_schema(await read_schema(connection))
    except asyncpg.PostgresError as error:
        return fail(
            _MIGRATIONS,
            f"cannot be read ({type(error).__name__})",
            "see that the user may read schema_migrations",
        )


def judge_schema(schema: Schema) -> Check:
    """Judge whether this version can work with the schema."""
    missing, newer = ", ".join(schema.missing), ", ".join(schema.newer)
    if missing and newer:
        return fail(
            _MIGRATIONS,
            f"missing: {missing}; of another version: {newer}",
            "migrate with a version that ships them all",
        )
    if missing:
        return fail(_MIGRATIONS, f"missing: {missing}", "run `token-service migrate`")
    if newer:
        return warn(
            _MIGRATIONS,
            f"the schema is newer than this version, by {newer}",
            "finish the upgrade: a newer version migrated the database",
        )
    return ok(_MIGRATIONS, "all applied")


def _version(version: int) -> Check:
    if version < MIN_VERSION:
        return fail(
            "postgres version", str(version), f"PostgreSQL {MIN_VERSION} or newer is needed"
        )
    return ok("postgres version", str(version))


def _role(said: StoreHealth) -> Check:
    if not said.is_primary:
        return fail("postgres role", "a standby", "point TOKEN_SERVICE_POSTGRES_DSN at the primary")
    if not said.is_writable:
        advice = "switch default_transaction_read_only off for the server, database and user"
        return fail("postgres role", "primary, and writes nothing", advice)
    return ok("postgres role", "primary")


def _durability(said: StoreHealth, demands: Demands) -> Check:
    settings = {
        "fsync": said.fsync,
        "synchronous_commit": said.synchronous_commit,
        "full_page_writes": said.full_page_writes,
    }
    detail = ", ".join(f"{name} {value}" for name, value in settings.items())
    made_up_for = said.made_up_for(demands.managed_by)
    off = [name for name in said.off() if name not in made_up_for]
    if said.off() and not off:
        return warn(
            "durability",
            detail,
            f"TOKEN_SERVICE_POSTGRES_MANAGED_BY leaves that to {demands.managed_by}: "
            "unset it anywhere else",
        )
    if off:
        return fail(
            "durability",
            detail,
            f"switch {' and '.join(off)} on: a crash could undo an acknowledged revocation",
        )
    return ok("durability", detail)


def _replication(said: StoreHealth, demands: Demands) -> Check:
    cause = said.asynchronous()
    if not cause and not said.standbys and demands.managed_by is None:
        advice = "attach one of synchronous_standby_names: commits wait for it"
        return warn("replication", "synchronous, and no standby is attached", advice)
    if not cause:
        return ok("replication", f"synchronous, standbys: {said.standbys}")
    advice = (
        "set synchronous_standby_names and leave synchronous_commit on: a failover could undo an "
        "acknowledged revocation, and a server that was succeeded goes on answering"
    )
    if demands.synchronous:
        return fail("replication", f"{cause}; TOKEN_SERVICE_POSTGRES_SYNCHRONOUS is set", advice)
    if said.alone:
        return ok("replication", "none: what this server loses is lost")
    return warn("replication", f"asynchronous, standbys: {said.standbys}; {cause}", advice)


def _clock(offset: float) -> Check:
    detail = f"PostgreSQL's is {abs(offset):.3f} s {'ahead of' if offset > 0 else 'behind'} ours"
    if abs(offset) > MAX_CLOCK_OFFSET:
        return warn("clock", detail, "synchronise both machines' clocks (NTP)")
    return ok("clock", detail)
