"""Watchers that come and go, callers that have no business here, and broken connections."""

import asyncio
import contextlib
import random
from typing import Any

import grpc

from tests.soak.context import Context
from tests.soak.tally import GaveUpError
from tests.soak.world import APPS, AUDIENCE
from tests.support.api import basic, exchange_id
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import trust_service_pb2 as trust_pb
from tokenservice.v1 import types_pb2 as types

SLOW_SECONDS = 8.0
"""For so long a slow watcher takes nothing; the server's patience is shorter."""
EPOCH = "00000000-0000-4000-8000-000000000000"


class Watchers:
    """Streams of the trust feed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._heads: list[tuple[str, int]] = []

    async def watcher(self) -> None:
        """One that starts anew, or where an earlier one was, or from another log; reads for a
        moment and is cancelled. Some only want the snapshot."""
        context, api = self._context, self._context.caller("gateway").api
        request, kind = self._request(), "watch the feed"
        if random.random() < 0.1:
            call: Any = api.trust.GetTrust(trust_pb.GetTrustRequest(), metadata=api.metadata)
            kind = "get the trust log"
        else:
            call = api.trust.WatchTrust(request, metadata=api.metadata)
        try:
            async with asyncio.timeout(random.uniform(0.01, 2.0)):
                async for message in call:
                    self._heads = [*self._heads[-50:], (message.epoch, message.revision)]
        except TimeoutError:
            call.cancel()
        except grpc.aio.AioRpcError as error:
            context.tally.note(kind, error.code().name)
            return
        context.tally.note(kind, "OK")

    def _request(self) -> trust_pb.WatchTrustRequest:
        kind = random.randrange(4)
        if kind == 0 or not self._heads:
            return trust_pb.WatchTrustRequest()
        if kind == 1:
            return trust_pb.WatchTrustRequest(epoch=EPOCH, from_revision=1)
        epoch, revision = random.choice(self._heads)
        return trust_pb.WatchTrustRequest(epoch=epoch, from_revision=revision)

    async def slow_watcher(self) -> None:
        """One that never reads: the server gives up on it, or it goes away."""
        context = self._context
        api = context.world.api(context.address, "gateway")
        try:
            call: Any = api.trust.WatchTrust(trust_pb.WatchTrustRequest(), metadata=api.metadata)
            await asyncio.sleep(SLOW_SECONDS)
            if random.random() < 0.5:
                call.cancel()
                context.tally.note("slow watcher", "OK")
                return
            try:
                async with asyncio.timeout(2):
                    async for _ in call:
                        pass
            except TimeoutError:
                call.cancel()
                context.tally.note("slow watcher", "OK")
            except grpc.aio.AioRpcError as error:
                context.tally.note("slow watcher", error.code().name, "RESOURCE_EXHAUSTED")
        finally:
            await api.channel.close()


class Abuse:
    """Calls that have to be refused."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def abuse(self) -> None:
        """One of them."""
        await random.choice(
            (
                self._wrong_secret,
                self._made_up_token,
                self._foreign_token,
                self._audience_not_allowed,
                self._malformed_request,
                self._not_permitted,
                self._unknown_method,
                self._revision_ahead,
            )
        )()

    async def connection(self) -> None:
        """A connection for one call; some are closed while another is under way."""
        context, client = self._context, random.choice(APPS)
        api = context.world.api(context.address, client)
        request = pb.IssueRequest(
            client=pb.ClientCredential(), platform=types.PLATFORM_API, audiences=[AUDIENCE]
        )
        try:
            with contextlib.suppress(GaveUpError):
                await context.tally.call(
                    "call over a new connection",
                    api.tokens.Issue(request, metadata=api.metadata, timeout=20),
                )
            if random.random() < 0.5:
                left = api.tokens.Issue(request, metadata=api.metadata, timeout=20)
                await asyncio.sleep(random.uniform(0, 0.005))
                await api.channel.close()
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
                    await left
                context.tally.note("close a connection under a call", "OK")
        finally:
            await api.channel.close()

    async def junk_connection(self) -> None:
        """Something that speaks another language, or says nothing, and hangs up."""
        host, _, port = self._context.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            if random.random() < 0.7:
                writer.write(random.choice((b"GET / HTTP/1.1\r\n\r\n", random.randbytes(200))))
            async with asyncio.timeout(random.uniform(0.05, 1)):
                await reader.read(10_000)
        except (TimeoutError, OSError):
            pass
        finally:
            writer.transport.abort()
        self._context.tally.note("junk connection", "OK")

    async def _wrong_secret(self) -> None:
        api = self._context.caller("gateway").api
        secret = self._context.world.world.clients[random.choice(("gateway", "web"))]
        wrong = basic("app-1", random.choice((secret, secret[::-1], "junk")))
        await self._refused(
            "wrong client secret",
            api.tokens.Validate(pb.ValidateRequest(), metadata=(("authorization", wrong),)),
            "UNAUTHENTICATED CALLER_UNAUTHENTICATED",
            "RESOURCE_EXHAUSTED RATE_LIMITED",  # too many from this address
        )

    async def _made_up_token(self) -> None:
        api = self._context.caller("app-1").api
        await self._refused(
            "exchange a made-up token",
            api.tokens.Exchange(
                pb.ExchangeRequest(token=self._spoilt(), exchange_id=exchange_id()),
                metadata=api.metadata,
            ),
            "UNAUTHENTICATED",
        )
        gateway = self._context.caller("gateway").api
        request = pb.ValidateRequest(token=self._spoilt(), audience=AUDIENCE)
        answer = await self._context.tally.call(
            "validate a made-up token",
            gateway.tokens.Validate(request, metadata=gateway.metadata),
        )
        if answer.http_status == 200:
            self._context.tally.note("made-up token", "ACTIVE")

    async def _foreign_token(self) -> None:
        context, api = self._context, self._context.caller("app-2").api
        session = context.logged_in.get("web")
        if session is not None:
            await self._refused(
                "exchange another's token",
                api.tokens.Exchange(
                    pb.ExchangeRequest(token=session.session_token, exchange_id=exchange_id()),
                    metadata=api.metadata,
                ),
                "PERMISSION_DENIED CLIENT_MISMATCH",
                "UNAUTHENTICATED TOKEN_EXPIRED",  # swept meanwhile
            )

    async def _audience_not_allowed(self) -> None:
        api = self._context.caller("app-2").api
        request = pb.IssueRequest(
            client=pb.ClientCredential(), platform=types.PLATFORM_API, audiences=["payroll"]
        )
        await self._refused(
            "audience that is not allowed",
            api.tokens.Issue(request, metadata=api.metadata),
            "PERMISSION_DENIED",
        )

    async def _malformed_request(self) -> None:
        api = self._context.caller("app-1").api
        method: Any = api.channel.unary_unary("/tokenservice.v1.TokenService/Exchange")
        await self._refused(
            "bytes that are no request",
            method(b"\xff" * random.randrange(1, 1_000), metadata=api.metadata),
            "INVALID_ARGUMENT",
        )

    async def _not_permitted(self) -> None:
        api = self._context.caller("gateway").api
        await self._refused(
            "method without permission",
            api.tokens.Issue(pb.IssueRequest(), metadata=api.metadata),
            "PERMISSION_DENIED PERMISSION_MISSING",
        )

    async def _unknown_method(self) -> None:
        api = self._context.caller("gateway").api
        method: Any = api.channel.unary_unary(
            f"/tokenservice.v1.No/Method{random.randrange(10**9)}"
        )
        await self._refused("unknown method", method(b""), "UNIMPLEMENTED")

    async def _revision_ahead(self) -> None:
        api = self._context.caller("gateway").api
        request = pb.ValidateRequest(token="t", audience=AUDIENCE, min_revision=2**40)
        await self._refused(
            "revision ahead of the log",
            api.tokens.Validate(request, metadata=api.metadata),
            "INVALID_ARGUMENT REVISION_UNKNOWN",
        )

    async def _refused(self, kind: str, call: Any, *allowed: str) -> None:
        await self._context.tally.refused(kind, call, *allowed)

    def _spoilt(self) -> str:
        """A token with another character in it."""
        recent = self._context.recent
        token = random.choice(recent) if recent and random.random() < 0.8 else "junk" * 20
        place = random.randrange(len(token) // 2, len(token) - 2)
        return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
