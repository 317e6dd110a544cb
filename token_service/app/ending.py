"""How a server process learns that it is to stop, or to begin anew."""

import asyncio
import signal
from collections.abc import Callable

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_OTHERS = (signal.SIGUSR1, signal.SIGUSR2)
"""Mean nothing here, and would kill: log rotation and debuggers send them."""


class Ending:
    """Asked for once, by whoever comes first."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.hands_over = False

    @property
    def asked(self) -> bool:
        """Whether it was."""
        return self._asked.is_set()

    def on_signals(self, *others: signal.Signals) -> None:
        """Stop at SIGTERM, SIGINT and these; the others not where whoever started this process let
        it ignore them, as nohup does."""
        loop = asyncio.get_running_loop()
        heeded = (one for one in others if signal.getsignal(one) is not signal.SIG_IGN)
        for number in (*_STOPPING, *heeded):
            loop.add_signal_handler(number, self.ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)  # those that waited come now

    def ask(self, *, hands_over: bool = False) -> None:
        """Stop; `hands_over` where others serve on at the same address."""
        if not self._asked.is_set():
            self.hands_over = hands_over
            self._asked.set()

    async def wait(self) -> None:
        """Until it was asked for."""
        await self._asked.wait()


def hold_hangups() -> None:
    """Let SIGHUP wait until `on_hangup`: it asks for something, and kills nobody who is starting.
    For the main thread; whoever is executed in place of this program goes on holding it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    for number in _OTHERS:
        signal.signal(number, signal.SIG_IGN)


def hold_signals() -> None:
    """The same, and let SIGTERM and SIGINT wait until `Ending.on_signals`: who is executed in place
    of a program that serves would die of them before it knows what they ask for."""
    hold_hangups()
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)


def on_hangup(act: Callable[[], object]) -> None:
    """Call `act` at each SIGHUP, and now for those that waited."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def ignore_hangups() -> None:
    """For a worker: its supervisor is who is asked."""
    for number in (signal.SIGHUP, *_OTHERS):
        signal.signal(number, signal.SIG_IGN)
