"""Forged tokens by the hundred thousand take no memory, and nothing from good tokens."""

import asyncio
import sys
from collections.abc import Sequence

from tests.support.tokens import claims, header, sign
from tests.unit.client.local import PRIVATE, Here, opaque
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.remote import MAX_WAITING, RemoteValidation
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

GOOD = 200
ROUNDS = 20_000
UNKNOWN = pb.ValidateResponse(
    verdict=types.VERDICT_UNKNOWN, http_status=401, cache=types.CacheHint(revision=100)
)
SIGNED = 500
"""Junk whose signature has to be checked costs a hundred times as much."""


def test_junk_that_is_refused_here() -> None:
    here = Here()
    good = [sign(PRIVATE, header(), claims(jti=f"good{number}")) for number in range(GOOD)]
    for token in good:
        here.verdict(token)
    head, body, signature = good[0].split(".")
    nobody = sign(PRIVATE, header(kid="nobody"), claims()).split(".")[0]
    _flood(here, head, body, signature, nobody, 4_500)
    blocks = sys.getallocatedblocks()
    _flood(here, head, body, signature, nobody, ROUNDS)
    assert sys.getallocatedblocks() - blocks < ROUNDS
    assert len(here.local.cache) == GOOD
    before = here.signatures.checks
    for token in good:
        decision = here.decide(token)
        assert decision is not None
        assert decision.active
    assert here.signatures.checks == before


def _flood(here: Here, head: str, body: str, signature: str, nobody: str, rounds: int) -> None:
    for number in range(rounds):
        other = f"{number:08d}"
        for junk in (
            other,
            f"{other}.{body}.{signature}",
            f"{head}.{other}.{signature}",
            f"{nobody}.{body}.{other}{signature[8:]}",
            opaque(key_id=f"{number + 1:08x}") if number % 20 == 0 else f"tsk_acc_{other}",
        ):
            assert here.decide(junk) is not None
        if number < SIGNED:
            assert here.decide(f"{head}.{body}.{other}{signature[8:]}") is not None


async def test_junk_that_only_the_server_can_refuse() -> None:
    """Few calls at a time carry it."""
    here = Here()
    running = most = calls = 0

    async def call(requests: Sequence[pb.ValidateRequest]) -> Sequence[pb.ValidateResponse]:
        nonlocal running, most, calls
        running, calls = running + 1, calls + 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return [UNKNOWN] * len(requests)

    validator = AssembledValidator(here.local, RemoteValidation(call, timeout=60))
    count = 4 * MAX_WAITING
    junk = (opaque(generation=number) for number in range(count))
    decisions = await asyncio.gather(*(validator.validate(one, audience="orders") for one in junk))
    answered = [one for one in decisions if one.answered]
    assert len(answered) == MAX_WAITING
    assert {one.reason for one in decisions if not one.answered} == {"overloaded"}
    assert most <= 4
    assert calls <= MAX_WAITING // 256 + 4
    assert len(here.local.cache) == 0
    assert len(here.local.refusals) <= 4096
