"""Administrators: policies, clients, keys, codes, and revocations of many sessions at once.

One actor writes each thing. After a write whose outcome is unknown it repeats the write until it is
acknowledged, so that the next value is known to follow it.
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from tests.histories.history import Operation, Outcome
from tests.histories.recorder import key_of
from tests.histories.workload.operations import Context, Held
from tests.histories.workload.sessions import Holder
from tests.histories.world import APPS, NARROW, REWRITTEN, SWITCHED, WIDE
from tokenservice.v1 import client_policy_pb2 as policy_pb
from tokenservice.v1 import client_service_pb2 as clients_pb
from tokenservice.v1 import code_service_pb2 as codes_pb
from tokenservice.v1 import key_service_pb2 as keys_pb
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

PAUSE = 0.5


async def insisted(context: Context, write: Callable[[], Awaitable[Operation]]) -> bool:
    """Repeat a write until its outcome is known; whether it was acknowledged."""
    while not context.stopping:
        operation = await write()
        if operation.outcome is not Outcome.UNKNOWN:
            return operation.ok
        await asyncio.sleep(PAUSE)
    return False


class Administration:
    """What happens to clients and keys."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._random = context.random
        self._holder = Holder(context)

    async def rewrite(self) -> None:
        """A policy is narrowed and widened; sessions of the client go on meanwhile."""
        policy: policy_pb.ClientPolicy | None = None
        held: Held | None = None
        wide = True
        while not self._context.stopping:
            if policy is None:
                policy = await self._policy(REWRITTEN)
            else:
                wide = not wide
                await insisted(self._context, partial(self._write, policy, wide))
            for _ in range(4):
                held = await self._go_on(REWRITTEN, held)
                await asyncio.sleep(PAUSE)

    async def switch(self) -> None:
        """A client is disabled and enabled, with sessions before, meanwhile and afterwards."""
        while not self._context.stopping:
            held = await self._go_on(SWITCHED, None)
            await insisted(self._context, lambda: self._turn(enabled=False))
            if held is not None:
                for access in held.access:
                    await self._context.validate(access, self._context.node())
                self._context.ended.extend(held.access)
            await self._context.open(SWITCHED, self._context.node())
            await insisted(self._context, lambda: self._turn(enabled=True))
            if held is not None:
                await self._context.exchange(held, self._context.node(), os.urandom(16))
            await asyncio.sleep(2 * PAUSE)

    async def revoke_many(self) -> None:
        """Everything of a client, of its subject, of a device, or (rarely) everything."""
        while not self._context.stopping:
            await asyncio.sleep(4 * PAUSE)
            client = self._random.choice(APPS)
            device = pb.SubjectDevice(subject=client, device_id="till-1")
            target, request = self._random.choices(
                (
                    (["client", client], pb.RevokeRequest(client_id=client)),
                    (["own", client], pb.RevokeRequest(subject=client)),
                    (["own_device", client, "till-1"], pb.RevokeRequest(subject_device=device)),
                    (["all"], pb.RevokeRequest(everything=pb.RevokeEverything())),
                ),
                (4, 4, 4, 1),
            )[0]
            await self._context.revoke(target, self._context.node(), "admin", request=request)

    async def keys(self) -> None:
        """Signing keys are rotated."""
        while not self._context.stopping:
            await asyncio.sleep(8 * PAUSE)
            request = keys_pb.RotateKeyRequest(purpose=types.KEY_PURPOSE_SIGNING)
            await self._context.call(
                "rotate_key", self._context.node(), "admin", "keys.RotateKey", request, {}
            )

    async def compromise(self) -> None:
        """Once in a run the signing key of a fresh token is compromised."""
        await asyncio.sleep(6 * PAUSE)
        held = await self._context.open(APPS[0], self._context.node())
        if held is None or self._context.stopping:
            return
        kid = key_of(held.access[0].text)
        method, request = self._random.choice(
            (
                ("keys.CompromiseKey", keys_pb.CompromiseKeyRequest(kid=kid)),
                ("tokens.Revoke", pb.RevokeRequest(key_id=kid)),
            )
        )
        await self._context.revoke(
            ["key", kid],
            self._context.node(),
            "admin",
            kind="compromise_key",
            method=method,
            request=request,
        )

    async def codes(self) -> None:
        """Codes are issued, redeemed by racers, revoked."""
        while not self._context.stopping:
            await asyncio.sleep(0.1)
            await self._code()

    async def _code(self) -> None:
        context, uses = self._context, self._random.choice((1, 1, 3))
        request = codes_pb.IssueCodeRequest(
            purpose="welcome",
            kind=types.CODE_KIND_COUPON,
            max_uses=uses,
        )
        request.ttl.FromSeconds(600)
        operation, issued = await context.call(
            "issue_code", context.node(), "shop", "codes.IssueCode", request, {"max_uses": uses}
        )
        if issued is None:
            return
        code = context.recorder.number(("code", issued.code_id))
        operation.about["code"] = code
        requests = [secrets.token_hex(8) for _ in range(uses + 1)]
        await asyncio.gather(
            *(self._redeem(issued.code, code, one) for one in (*requests, requests[0]))
        )
        if self._random.random() < 0.3:
            await context.call(
                "revoke_code",
                context.node(),
                "shop",
                "codes.RevokeCode",
                codes_pb.RevokeCodeRequest(code_id=issued.code_id),
                {"code": code},
            )
            await self._redeem(issued.code, code, secrets.token_hex(8))

    async def _redeem(self, text: str, code: int, request_id: str) -> None:
        """One redemption, repeated until its outcome is known."""
        context = self._context
        for _ in range(4):
            operation, reply = await context.call(
                "redeem_code",
                context.node(),
                "shop",
                "codes.RedeemCode",
                codes_pb.RedeemCodeRequest(purpose="welcome", code=text, request_id=request_id),
                {"code": code, "request": context.recorder.number(request_id)},
            )
            if reply is not None and reply.replayed:
                operation.about["replayed"] = True
            if operation.outcome is not Outcome.UNKNOWN or context.stopping:
                return
            await asyncio.sleep(0.5)

    async def _go_on(self, client: str, held: Held | None) -> Held | None:
        """A session of the client, exchanged, or a new one."""
        if held is not None:
            held = await self._holder.insist(held, os.urandom(16))
        return held or await self._context.open(client, self._context.node())

    async def _policy(self, client: str) -> policy_pb.ClientPolicy | None:
        request = clients_pb.GetClientRequest(client_id=client)
        _, reply = await self._context.call(
            "get_client", self._context.node(), "admin", "clients.GetClient", request, {}
        )
        return None if reply is None else reply.client.policy

    async def _write(self, policy: policy_pb.ClientPolicy, wide: bool) -> Operation:
        written = policy_pb.ClientPolicy()
        written.CopyFrom(policy)
        del written.scopes[:]
        written.scopes.extend(WIDE if wide else NARROW)
        value = "wide" if wide else "narrow"
        about: dict[str, Any] = {"writes": [[f"policy {REWRITTEN}", value]]}
        request = clients_pb.UpdateClientPolicyRequest(client_id=REWRITTEN, policy=written)
        if not wide:
            about["target"] = ["reissue", REWRITTEN]
        operation, _ = await self._context.call(
            "update_policy",
            self._context.node(),
            "admin",
            "clients.UpdateClientPolicy",
            request,
            about,
        )
        return operation

    async def _turn(self, *, enabled: bool) -> Operation:
        node, register = self._context.node(), f"client {SWITCHED}"
        if enabled:
            operation, _ = await self._context.call(
                "enable_client",
                node,
                "admin",
                "clients.EnableClient",
                clients_pb.EnableClientRequest(client_id=SWITCHED),
                {"writes": [[register, "enabled"]]},
            )
            return operation
        operation, _ = await self._context.revoke(
            ["client", SWITCHED],
            node,
            "admin",
            kind="disable_client",
            method="clients.DisableClient",
            request=clients_pb.DisableClientRequest(client_id=SWITCHED),
            about={"writes": [[register, "disabled"]]},
        )
        return operation
