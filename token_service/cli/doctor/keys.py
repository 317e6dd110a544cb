"""Whether there is a key for everything that the service makes, and none is overdue."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from token_service.cli.doctor.checks import Check, fail, ok, warn
from token_service.domain.keys.key import Key
from token_service.domain.keys.schedule import KeyScheduleSettings, Slot, seniority
from token_service.domain.kinds import KeyState

OVERDUE = timedelta(days=1)


def judge(keys: Sequence[Key], now: datetime, schedule: KeyScheduleSettings) -> list[Check]:
    """Judge all keys; one check per slot of the schedule."""
    if not keys:
        return [warn("keys", "there are none yet", "the first server that starts makes them")]
    return [_slot(slot, keys, now, schedule) for slot in schedule.slots]


def _slot(slot: Slot, keys: Sequence[Key], now: datetime, schedule: KeyScheduleSettings) -> Check:
    purpose, algorithm = slot
    name = f"key {purpose.name.lower()}" + (f" {algorithm}" if algorithm != "HS256" else "")
    own = [key for key in keys if (key.purpose, key.algorithm) == slot]
    active = sorted((key for key in own if key.state is KeyState.ACTIVE), key=seniority)
    if not own:
        return warn(name, "there is none yet", "the next server that starts makes it")
    if not active:
        return fail(name, "none is active", "start a server: it makes one")
    signer = active[-1]
    age = now - signer.activates_at
    detail = f"{signer.kid}, {age.days} days old"
    if age > schedule.rotation[purpose] + OVERDUE:
        return warn(name, detail, "servers rotate keys on schedule: is one running?")
    return ok(name, detail)
