"""A view that becomes fresh while the server is asked about a token decides over it."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest

from tests.support.waiting import PATIENCE
from tests.unit.client.local import Here
from tokenservice import Decision, OnStale, Unreachable
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.remote import RemoteValidation
from tokenservice.core import Verdict
from tokenservice.v1 import token_service_pb2 as pb


class Gateway:
    """Asks a server that is gone, and hears of that once it is let."""

    def __init__(self) -> None:
        self.here = Here()
        self.asked, self.let = asyncio.Event(), asyncio.Event()
        self.validator = AssembledValidator(
            self.here.local, RemoteValidation(self._ask, timeout=PATIENCE)
        )

    async def _ask(self, requests: Sequence[pb.ValidateRequest]) -> Sequence[pb.ValidateResponse]:
        del requests
        self.asked.set()
        await self.let.wait()
        raise Unreachable("", "", grpc.StatusCode.UNAVAILABLE)

    async def decide(self, on_stale: OnStale, *, fresh: bool, min_revision: int = 0) -> Decision:
        """A decision asked for with a stale view, which is `fresh` when nobody has answered."""
        assert self.here.verdict() is Verdict.ACTIVE
        self.here.go_stale()
        question = asyncio.create_task(
            self.validator.validate(
                self.here.token, audience="orders", on_stale=on_stale, min_revision=min_revision
            )
        )
        await self.asked.wait()
        if fresh:
            self.here.delta(101)
        self.let.set()
        return await question


@pytest.mark.parametrize("on_stale", ["ask", "allow_until_expiry"])
async def test_a_view_that_is_fresh_by_then_decides(on_stale: OnStale) -> None:
    decision = await Gateway().decide(on_stale, fresh=True)
    assert (decision.verdict, decision.reason) == (Verdict.ACTIVE, "")


async def test_what_even_that_does_not_know_stays_without_an_answer() -> None:
    decision = await Gateway().decide("allow_until_expiry", fresh=True, min_revision=102)
    assert (decision.verdict, decision.reason) == (Verdict.UNSPECIFIED, "unreachable")


@pytest.mark.parametrize(
    ("on_stale", "verdict"),
    [("ask", Verdict.UNSPECIFIED), ("allow_until_expiry", Verdict.ACTIVE)],
)
async def test_a_view_that_is_stale_still_says_so(on_stale: OnStale, verdict: Verdict) -> None:
    decision = await Gateway().decide(on_stale, fresh=False)
    assert (decision.verdict, decision.reason) == (verdict, "stale")
