"""Nodes that are killed, frozen, cut off, or whose clock is wrong."""

from tests.histories.nemesis import Nemesis, NoEffectError, seen, unanswered
from tests.histories.site import LIMIT, Site
from tests.support.processes import is_alive


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

    async def start(self, site: Site) -> None:
        self._pid = site.nodes[0].server.process.pid
        await site.nodes[0].kill()

    async def took_effect(self, site: Site) -> str:
        if is_alive(self._pid):
            raise NoEffectError("the node runs on")
        await seen(lambda: unanswered(site, 0, "node-0"), "no call to the node failed")
        return f"process {self._pid} is gone; {unanswered(site, 0, 'node-0')} at node-0"

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


NODES = (NothingBreaks, NodeKilled, NodeFrozen)
