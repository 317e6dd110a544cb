"""Whether PostgreSQL is the server that the trust log was last written on, and still commits."""

from dataclasses import dataclass
from datetime import datetime

from token_service.adapters.postgres.pool import Connection
from token_service.cli.doctor.checks import Check, ok, warn
from token_service.domain.trust.reading import Lineage

LATE_BEAT = 10.0
"""Seconds. A server that runs sees to a beat each second."""

_SECONDS = 5.0
_READ = """
SELECT h.system_identifier, h.timeline, trust_system_identifier() AS its_system_identifier,
       trust_timeline() AS its_timeline, b.beat, b.synchronous,
       extract(epoch FROM clock_timestamp() - b.beaten_at)::float8 AS age,
       s.ended_at, s.fenced
FROM trust_head h, trust_beat b
     LEFT JOIN LATERAL (
         SELECT ended_at, fenced FROM trust_successions ORDER BY ended_at DESC LIMIT 1
     ) s ON true
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessionFacts:
    """What was recorded of the server, what it says of itself, and its last beat, of `age` seconds.
    `ended_at` is when the last epoch of the log ended, None if none has; then `fenced` says whether
    everyone had to log in again."""

    recorded: Lineage
    server: Lineage
    beat: int
    synchronous: bool
    age: float
    ended_at: datetime | None
    fenced: bool | None


async def read(connection: Connection) -> SuccessionFacts | None:
    """Read them; None without a trust head."""
    row = await connection.fetchrow(_READ, timeout=_SECONDS)
    if row is None:
        return None
    return SuccessionFacts(
        recorded=Lineage(row["system_identifier"], row["timeline"]),
        server=Lineage(row["its_system_identifier"], row["its_timeline"]),
        beat=row["beat"],
        synchronous=row["synchronous"],
        age=row["age"],
        ended_at=row["ended_at"],
        fenced=row["fenced"],
    )


def judge(facts: SuccessionFacts | None) -> list[Check]:
    """Judge them; nothing without a trust head, which is another check's."""
    return [] if facts is None else [_server(facts), _beat(facts)]


def _server(facts: SuccessionFacts) -> Check:
    name, server, recorded = "trust server", facts.server, facts.recorded
    if server.system_identifier is None or server.timeline is None:
        return warn(
            name,
            "does not tell its system identifier or timeline",
            "let its user execute pg_control_system() and pg_walfile_name(), where the service "
            "allows that: a failover that loses something cannot be noticed without",
        )
    detail = f"system {server.system_identifier}, timeline {server.timeline}"
    if recorded.timeline is None:
        return ok(name, f"{detail}, which the first server that is started will record")
    if server != recorded:
        was = f"system {recorded.system_identifier}, timeline {recorded.timeline}"
        return warn(
            name,
            f"{detail}; recorded is {was}",
            "another server succeeded, and none of the token service has looked at it yet: start "
            "one. Everyone logs in again unless one is running that knew the former server",
        )
    if facts.ended_at is not None:
        how = "everyone logged in again" if facts.fenced else "all sessions went on"
        detail += f"; last succession at {facts.ended_at:%Y-%m-%d %H:%M:%S} UTC, {how}"
    return ok(name, detail)


def _beat(facts: SuccessionFacts) -> Check:
    name = "trust beat"
    if not facts.beat:
        return ok(name, "none yet: no server has run")
    how = "synchronous" if facts.synchronous else "not synchronous"
    detail = f"number {facts.beat}, {max(0.0, facts.age):.1f} s ago, {how}"
    if facts.age > LATE_BEAT:
        return warn(
            name,
            detail,
            "where servers run, no commit gets through: is a standby that commits wait for away?",
        )
    return ok(name, detail)
