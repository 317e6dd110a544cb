"""Nodes that are killed, frozen, cut off, or whose clock is wrong."""

import asyncio
import base64
import json
import time
from functools import partial
from typing import ClassVar

from tests.histories.nemesis import Nemesis, NoEffectError, seen, unanswered
from tests.histories.site import LIMIT, Node, Site
from tests.support.api import Api, basic
from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE
from tokenservice.v1 import token_service_pb2 as tokens_pb

SKEWED = "tests.faults.skewed"
FUTURE, PAST = 90.0, -90.0


class NothingBreaks(Nemesis):
    """What the others are compared with."""

    name = "nothing"
    title = "nothing breaks"

    async def start(self, site: Site) -> None:
        del site

    async def took_effect(self, site: Site) -> str:
        return f"{len(site.nodes)} nodes serve"

    async def heal(self, site: Site) -> None:
        del site


class NodeKilled(Nemesis):
    """SIGKILL, and started again."""

    name = "node-killed"
    title = "a node is killed"
    _pid = 0
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        self._pid = site.nodes[0].server.process.pid
        await site.nodes[0].kill()

    async def took_effect(self, site: Site) -> str:
        if is_alive(self._pid):
            raise NoEffectError("the node runs on")
        await seen(lambda: unanswered(site, self._since, "node-0"), "no call to the node failed")
        return f"its process is gone; {unanswered(site, self._since, 'node-0')} at node-0"

    async def heal(self, site: Site) -> None:
        await site.nodes[0].start()


class NodeFrozen(Nemesis):
    """SIGSTOP for longer than the staleness limit, and SIGCONT."""

    name = "node-frozen"
    title = "a node is frozen for longer than the staleness limit"
    seconds = LIMIT + 2
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        site.nodes[0].server.pause()

    async def took_effect(self, site: Site) -> str:
        await seen(
            lambda: "DEADLINE_EXCEEDED" in unanswered(site, self._since, "node-0"),
            "no call to the node ran into its deadline",
        )
        return f"{unanswered(site, self._since, 'node-0')} at node-0"

    async def heal(self, site: Site) -> None:
        site.nodes[0].server.resume()


class NodeCutFromPostgres(Nemesis):
    """Nothing gets through between a node and PostgreSQL, and nobody is told."""

    name = "node-cut-from-postgres"
    title = "a node is cut from PostgreSQL for longer than the staleness limit"
    seconds = LIMIT + 2
    databases = True
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        site.nodes[0].database_proxy.swallow()

    async def took_effect(self, site: Site) -> str:
        await seen(
            lambda: "STORE_UNAVAILABLE" in unanswered(site, self._since, "node-0"),
            "no call to the node missed the database",
        )
        if "STORE_UNAVAILABLE" in unanswered(site, self._since, "node-1"):
            raise NoEffectError("the other node is cut off as well")
        await seen(lambda: site.nodes[0].database_proxy.swallowed, "nothing was swallowed")
        return f"{unanswered(site, self._since, 'node-0')} at node-0"

    async def heal(self, site: Site) -> None:
        site.nodes[0].database_proxy.cut()
        site.nodes[0].database_proxy.mend()


class NodeCutFromClients(Nemesis):
    """Nothing gets through between clients and a node, and nobody is told."""

    name = "node-cut-from-clients"
    title = "a node is cut from its clients and the validator beside it"
    seconds = LIMIT + 2
    fronts = True
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        site.nodes[0].front_proxy.swallow()

    async def took_effect(self, site: Site) -> str:
        await seen(
            lambda: "DEADLINE_EXCEEDED" in unanswered(site, self._since, "node-0"),
            "no call to the node ran into its deadline",
        )
        await seen(
            lambda: unanswered(site, self._since, "validator-0"),
            "the validator beside the node answers on",
        )
        here, beside = (unanswered(site, self._since, place) for place in ("node-0", "validator-0"))
        return f"{here} at node-0, {beside} at validator-0"

    async def heal(self, site: Site) -> None:
        site.nodes[0].front_proxy.cut()
        site.nodes[0].front_proxy.mend()


class ClocksApart(Nemesis):
    """One node's clock is 90 s fast, the other's 90 s slow, from their start on."""

    name = "clocks-apart"
    title = "the nodes' clocks are 90 s fast and 90 s slow"
    modules = (SKEWED, SKEWED)
    of_node = ({"TEST_CLOCK_SHIFT": str(FUTURE)}, {"TEST_CLOCK_SHIFT": str(PAST)})

    async def start(self, site: Site) -> None:
        del site

    async def took_effect(self, site: Site) -> str:
        shifts = [node.events("skewed")[0]["unix"] - node.started_at for node in site.nodes]
        if not (shifts[0] > FUTURE - 30 and shifts[1] < PAST + 30):
            raise NoEffectError(f"clocks are {shifts} s ahead")
        issued = [await self._ahead(site, number) for number in range(2)]
        times = " and ".join(f"{ahead:+.0f} s" for ahead in issued)
        return f"the nodes' clocks said so; they issue tokens at {times}"

    async def heal(self, site: Site) -> None:
        del site

    async def _ahead(self, site: Site, number: int) -> float:
        """By how much the time of issue in a token is ahead of ours."""
        client = "app-1"
        address = site.nodes[number].address
        async with Api(address, basic(client, site.world.clients[client])) as api:
            request = tokens_pb.IssueRequest(client=tokens_pb.ClientCredential())
            issued = await api.tokens.Issue(request, metadata=api.metadata, timeout=PATIENCE)
        payload = issued.tokens.access_tokens[0].token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["iat"]) - time.time()


class RenewedByHangup(Nemesis):
    """SIGHUP to both nodes in turn: new workers take over."""

    name = "sighup"
    title = "SIGHUP to both nodes, each with two workers, in turn"
    settings: ClassVar[dict[str, str]] = {"workers": "2"}
    seconds = 3.0

    async def start(self, site: Site) -> None:
        for node in site.nodes:
            before = set(node.children())
            if len(before) < 2:
                raise NoEffectError(f"{node.name} has {len(before)} workers")
            node.hang_up()
            await seen(partial(_replaced, node, before), "the workers were not replaced", 30.0)

    async def took_effect(self, site: Site) -> str:
        return f"the workers of {len(site.nodes)} nodes were replaced"

    async def heal(self, site: Site) -> None:
        del site


def _replaced(node: Node, before: set[int]) -> bool:
    now = set(node.children())
    return len(now) >= len(before) and not before & now


class RolledBySigterm(Nemesis):
    """Each node is stopped gracefully and started again."""

    name = "sigterm-rolling"
    title = "SIGTERM to one node after the other, and started again"
    seconds = 1.0
    _codes: tuple[int, ...] = ()

    async def start(self, site: Site) -> None:
        for node in site.nodes:
            self._codes += (await node.terminate(),)
            await asyncio.sleep(0.5)
            await node.start()

    async def took_effect(self, site: Site) -> str:
        if self._codes != (0,) * len(site.nodes):
            raise NoEffectError(f"the nodes ended with {self._codes}")
        return f"exit codes {self._codes}"

    async def heal(self, site: Site) -> None:
        del site


NODES = (
    NothingBreaks,
    NodeKilled,
    NodeFrozen,
    NodeCutFromPostgres,
    NodeCutFromClients,
    ClocksApart,
    RenewedByHangup,
    RolledBySigterm,
)
