"""Which configured secrets the keys need, and until when."""

from collections.abc import Iterable, Sequence

from token_service.cli.doctor.checks import Check, Status, ok
from token_service.cli.values import time_text
from token_service.domain.keys.key import VERIFYING, Key, PepperUse
from token_service.domain.keys.schedule import KeyScheduleSettings, seniority
from token_service.domain.kinds import KeyPurpose, KeyState


def judge(
    ids: Sequence[str],
    keys: Iterable[Key],
    uses: Iterable[PepperUse],
    schedule: KeyScheduleSettings,
) -> list[Check]:
    """Say of each secret, the newest first, how many keys need it; and of each key that needs an
    older one, until when. Only the older ones are ever removed."""
    used = {use.kid: use for use in uses}
    found = []
    for secret_id in ids:
        needing = [key for key in keys if key.secret_key_id == secret_id and key.state in VERIFYING]
        newest = secret_id == ids[0]
        found.append(_secret(secret_id, len(needing), newest=newest))
        if not newest:
            needing.sort(key=lambda key: (key.purpose, *seniority(key)))
            found += [_key(key, used, schedule) for key in needing]
    return found


def _secret(secret_id: str, needing: int, *, newest: bool) -> Check:
    name = f"secret {secret_id}"
    if newest:
        return ok(name, f"the newest: new keys are made with it; {needing} keys need it")
    if needing:
        return ok(name, f"{needing} keys need it")
    return Check(
        name,
        Status.OK,
        "no key needs it",
        "a former one: it may be removed from TOKEN_SERVICE_SECRET_KEYS; a new one: put it first",
    )


def _key(key: Key, uses: dict[str, PepperUse], schedule: KeyScheduleSettings) -> Check:
    purpose = key.purpose.name.lower()
    name = f"secret {key.secret_key_id}"
    what = f"needed by {purpose} {key.kid}"
    if key.state is not KeyState.RETIRING:
        algorithm = f" --algorithm {key.algorithm}" if key.purpose is KeyPurpose.SIGNING else ""
        advice = f"`token-service keys rotate {purpose}{algorithm}` replaces it"
        return Check(name, Status.OK, f"{what} until {_after(key, schedule)}", advice)
    if key.retires_at is not None:
        return ok(name, f"{what} until {time_text(key.retires_at)}")
    return _pepper(name, what, uses.get(key.kid))


def _after(key: Key, schedule: KeyScheduleSettings) -> str:
    life = schedule.life[key.purpose]
    if life is None:
        return "it is replaced and nothing is hashed under it"
    return f"{_span(life.total_seconds())} after it is replaced"


def _pepper(name: str, what: str, use: PepperUse | None) -> Check:
    if use is None or not use:
        return ok(name, f"{what} until a running server retires it, within the hour")
    reasons, advice = [], ""
    if use.clients:
        reasons.append(f"the secrets of {', '.join(use.clients)} have moved")
        advice = "they move when the client calls; or rotate, collect, or reject what is pending"
    if use.codes_until is not None:
        reasons.append(f"its codes are forgotten ({time_text(use.codes_until)})")
    if use.pairings_until is not None:
        reasons.append(f"its pairings are forgotten ({time_text(use.pairings_until)})")
    return Check(name, Status.OK, f"{what} until {' and '.join(reasons)}", advice)


def _span(seconds: float) -> str:
    return f"{seconds / 86_400:g} days" if seconds >= 2 * 86_400 else f"{seconds / 3_600:g} hours"
