"""`token-service doctor`: what a server needs, and whether it is in order."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import typer
from rich.text import Text

from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.crypto.keyring import Keyring
from token_service.adapters.postgres.keys.store import KeyStore
from token_service.adapters.postgres.pool import Database
from token_service.app.client_policies import policy_tokens
from token_service.app.database import direct_source, main_source
from token_service.app.parts import key_schedule
from token_service.cli.doctor import (
    configuration,
    keys,
    policies,
    postgres,
    redis,
    secret_keys,
    tls,
)
from token_service.cli.doctor.checks import Check, Status, fail, failed, ok
from token_service.cli.local.deployment import store_environment
from token_service.cli.output import Output, printable
from token_service.cli.problems import REFUSED
from token_service.config import Settings
from token_service.domain.errors import TokenServiceError

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


def doctor(out: Output) -> None:
    """Check configuration, stores, keys and TLS files. Exit code 1 when something is broken."""
    checks = asyncio.run(examine(store_environment(out)))
    if out.as_json:
        out.json({"healthy": not failed(checks), "checks": [asdict(check) for check in checks]})
    else:
        out.texts(_lines(checks))
    if failed(checks):
        raise typer.Exit(REFUSED)


def _lines(checks: Sequence[Check]) -> Iterator[Text]:
    """What people read of the checks: what to do stands below what was found, so that neither is
    left out on a narrow terminal."""
    width = max(len(check.name) for check in checks)
    for check in checks:
        line = Text(f"{check.status:<4}", style=_STYLES[check.status])
        yield line.append(f"  {printable(check.name):<{width}}  {printable(check.detail)}", "none")
        if check.advice:
            yield Text(f"{'':<4}  {'':<{width}}  > {printable(check.advice)}", style="bold")


async def examine(environment: Mapping[str, str]) -> list[Check]:
    """Make every check that can be made."""
    checks, settings = configuration.check(environment)
    if settings is None:
        return checks
    now = datetime.now(UTC)
    checks += _tls(settings, now)
    demands = postgres.Demands.of(settings)
    found, readable = await postgres.check(main_source(settings), direct_source(settings), demands)
    checks += found
    if readable:
        checks += await _keys(settings, now)
    url = settings.redis_url
    budget = settings.redis_timeout.total_seconds()
    checks += await redis.check(None if url is None else url.get_secret_value(), budget)
    return checks


def _tls(settings: Settings, now: datetime) -> list[Check]:
    if settings.tls_cert is None or settings.tls_key is None:
        return []
    checks = [
        tls.check_certificates("certificate", settings.tls_cert, now),
        tls.check_key("certificate's key", settings.tls_cert, settings.tls_key),
    ]
    if settings.tls_client_ca is not None:
        checks.append(tls.check_certificates("client authorities", settings.tls_client_ca, now))
    return checks


async def _keys(settings: Settings, now: datetime) -> list[Check]:
    try:
        database = await Database.open(
            direct_source(settings), size=1, application_name="token-service doctor"
        )
        try:
            return await _stored(settings, now, database)
        finally:
            await database.close()
    except TokenServiceError as error:
        return [fail("keys", error.message, "see what was found of PostgreSQL")]


async def _stored(settings: Settings, now: datetime, database: Database) -> list[Check]:
    """Examine the keys, and what clients get with them."""
    store = KeyStore(database)
    stored = await store.all()
    secrets = SecretKeys.parse(settings.secret_keys.get_secret_value())
    keyring = Keyring(secrets)
    try:
        keyring.load(stored)
        keyring.require_all()
    except ValueError as error:
        return [fail("secret keys", str(error), "put the secret back, behind the newer ones")]
    opened = ok("secret keys", f"{len(secrets.ids)}, the newest is {secrets.newest_id}")
    schedule, uses = key_schedule(settings), await store.pepper_uses(now)
    needs = secret_keys.judge(secrets.ids, stored, uses, schedule)
    found = [opened, *needs, *keys.judge(stored, now, schedule)]
    if not stored:
        return found
    return found + policies.judge(await policy_tokens(settings, keyring, database))
