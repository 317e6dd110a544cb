"""What is begun at one of two nodes and goes on at the other, both ways."""

import itertools

from tests.faults.code_callers import issue, redeem
from tests.support.api import exchange_id
from tests.support.callers import Callers, Person
from tests.support.devices import Pair, start_map
from tests.support.outcomes import outcome
from tokenservice.v1 import types_pb2 as types

LONGEST_COUNT = 20


class BothWays:
    """Callers of two nodes. Each call here fails where the nodes do not work together."""

    def __init__(self, one: Callers, two: Callers) -> None:
        self.both = (one, two)
        self._ways = ((one, two), (two, one))

    async def everything(self) -> None:
        """All that is below, but for counting."""
        await self.exchange()
        await self.replay()
        await self.revoke()
        await self.redeem()
        await self.finish(await self.pairings())

    async def pairings(self) -> list[tuple[Pair, Callers, Person]]:
        """One begun at each node, and where it is to go on."""
        return [
            (await start_map(here), there, await here.new_person()) for here, there in self._ways
        ]

    async def finish(self, begun: list[tuple[Pair, Callers, Person]]) -> None:
        """The phone scans and approves at the other node, and the PC collects."""
        for pair, there, person in begun:
            pair.phone = there.client("mobile")
            phone = (await there.log_in(person, "mobile")).session_token
            await pair.scanned(session_token=phone)
            await pair.approve(phone)
            collected = await pair.collect()
            await self._active(collected.tokens)

    async def exchange(self) -> None:
        """What one node issued, the other exchanges, and both validate."""
        for here, there in self._ways:
            issued = await here.log_in(await here.new_person())
            exchanged = await there.web.exchange(issued.session_token)
            await self._active(issued, exchanged.tokens)

    async def replay(self) -> None:
        """A retry at the other node gets the same successor; a second presenter ends it all."""
        for here, there in self._ways:
            issued = await here.log_in(await here.new_person())
            once = exchange_id()
            first = await here.web.exchange(issued.session_token, once)
            again = await there.web.exchange(issued.session_token, once)
            assert again.tokens.session_token == first.tokens.session_token
            await there.web.exchange(first.tokens.session_token)
            assert await outcome(here.web.exchange(issued.session_token)) == "TOKEN_REUSED"

    async def revoke(self) -> None:
        """What one node revoked, the other refuses."""
        for here, there in self._ways:
            person = await here.new_person()
            issued = await there.log_in(person)
            revoked = await here.web.revoke(token=issued.session_token)
            access = issued.access_tokens[0].token
            verdict = await there.gateway.verdict(access, min_revision=revoked.revision)
            assert verdict == "REVOKED"
            assert await outcome(there.web.exchange(issued.session_token)) == "TOKEN_REVOKED"
            issued = await there.log_in(person)
            revision = await here.disable_user(person.user_id)
            access = issued.access_tokens[0].token
            verdict = await there.gateway.verdict(access, min_revision=revision)
            assert verdict == "REVOKED"
            assert isinstance(await outcome(there.log_in(person)), str)

    async def redeem(self) -> None:
        """A code of one node is used up at the other."""
        for here, there in self._ways:
            made = await issue(here.admin, max_uses=1)
            await redeem(there.admin, made.code)
            assert await outcome(redeem(here.admin, made.code)) == "CODE_USED_UP"

    async def failures_until_locked(self) -> int:
        """Wrong passwords until the account is locked, at one node and the other in turn."""
        person = await self.both[0].new_person()
        tries = zip(range(1, LONGEST_COUNT), itertools.cycle(self.both), strict=False)
        for count, node in tries:
            said = await outcome(node.web.login(person.username, "wrong"))
            if said != "CREDENTIALS_INVALID":
                assert said == "ACCOUNT_LOCKED"
                return count
        raise AssertionError("nothing locks the account")

    async def _active(self, *issued: types.TokenSet) -> None:
        for tokens in issued:
            for node in self.both:
                assert await node.gateway.verdict(tokens.access_tokens[0].token) == "ACTIVE"
