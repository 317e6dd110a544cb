"""Following one pairing over a stream that may break: on any server, until it is over."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import TYPE_CHECKING

import grpc

from tokenservice._backoff import Backoff
from tokenservice._errors import TokenServiceError, Unreachable, error_of
from tokenservice._pairing import messages as pairing_messages
from tokenservice._reason import Reason
from tokenservice.v1 import pairing_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tokenservice._pairing.values import PairingKey, PairingStatus
    from tokenservice._transport.connection import Connection, Metadata


class PairingFollower:
    """Opens streams one after another. Randomness ([0, 1)) and sleep are given by tests."""

    def __init__(
        self,
        connection: Connection,
        *,
        backoff: Backoff | None = None,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._backoff = backoff or Backoff()
        self._random = random
        self._sleep = sleep

    async def follow(self, key: PairingKey, patience: float) -> AsyncGenerator[PairingStatus, None]:
        """Give each status that differs from the one before, the final one last.

        Raises TokenServiceError, after about ``patience`` seconds of pauses when nobody answers.
        """
        told: PairingStatus | None = None
        failures, waited = 0, 0.0
        renewed = False
        while told is None or not told.state.final:
            metadata: Metadata = ()
            try:
                metadata = await self._connection.metadata()
                async with aclosing(self._stream(key, metadata)) as statuses:
                    async for status in statuses:
                        if status != told:
                            # Each stream begins with a state: only news says that it works.
                            failures, waited, renewed = 0, 0.0, False
                            told = status
                            yield status
                if told is not None and told.state.final:
                    return
                error: TokenServiceError = _ended()
            except TokenServiceError as failure:
                error = failure
            if error.reason is Reason.CALLER_UNAUTHENTICATED and not renewed:
                renewed = self._connection.rejected(metadata)
                if renewed:
                    continue
            failures += 1
            pause = self._pause(error, failures)
            waited += pause
            if waited > patience:
                raise error
            await self._sleep(pause)

    def _pause(self, error: TokenServiceError, failures: int) -> float:
        """Seconds until the next stream. Raises what no other stream would cure."""
        if not isinstance(error, Unreachable) and not error.for_now:
            raise error
        return self._backoff.pause(failures, self._random, error.retry_after)

    async def _stream(
        self, key: PairingKey, metadata: Metadata
    ) -> AsyncGenerator[PairingStatus, None]:
        stubs = self._connection.stubs()
        request = pb.WatchPairingRequest(**pairing_messages.proof(key))
        call = stubs.pairings.WatchPairing(request, metadata=metadata)
        try:
            async for reply in call:
                yield pairing_messages.status(reply)
                if not self._connection.current(stubs):
                    return
        except asyncio.CancelledError:
            self._connection.raise_if_replaced()
            raise
        except grpc.RpcError as error:
            failure = error_of(error)
            if isinstance(failure, Unreachable):
                self._connection.failed(stubs, failure)
            raise failure from error
        finally:
            call.cancel()


def _ended() -> Unreachable:
    return Unreachable("", "the stream ended early", grpc.StatusCode.UNAVAILABLE)
