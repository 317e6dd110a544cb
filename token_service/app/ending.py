"""How a server process learns that it is to stop."""

import asyncio
import signal


class Ending:
    """Asked for once, by whoever comes first."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.hands_over = False

    def on_signals(self) -> None:
        """Stop at SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask)

    def ask(self, *, hands_over: bool = False) -> None:
        """Stop; `hands_over` where others serve on at the same address."""
        if not self._asked.is_set():
            self.hands_over = hands_over
            self._asked.set()

    async def wait(self) -> None:
        """Until it was asked for."""
        await self._asked.wait()
