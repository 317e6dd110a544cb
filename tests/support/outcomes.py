"""Many calls at once, and what became of each."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

import grpc

from tests.support.api import reason_of
from tokenservice.v1 import types_pb2 as types

Reply = TypeVar("Reply")


async def outcome(call: Awaitable[Reply]) -> Reply | str:
    """The reply, or the reason of the refusal."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error) or error.code().name


async def all_at_once(calls: Iterable[Awaitable[Reply]]) -> list[Reply | str]:
    """All outcomes, in order."""
    return await asyncio.gather(*map(outcome, calls))


def replies(outcomes: Iterable[Reply | str]) -> list[Reply]:
    """Those that succeeded."""
    return [one for one in outcomes if not isinstance(one, str)]


def reasons(outcomes: Iterable[Reply | str]) -> set[str]:
    """Why the others did not."""
    return {one for one in outcomes if isinstance(one, str)}


def credential_of(tokens: types.TokenSet) -> str:
    """What is exchanged next: the session token, or the rolling token."""
    return tokens.session_token or tokens.access_tokens[0].token
