"""Codes, pairings and administration."""

import asyncio
import contextlib
import itertools
import os
import random
import secrets
from typing import Any

from tests.soak.context import Context, Person
from tests.soak.sessions import Sessions
from tests.soak.world import AUDIENCE, ROLE
from tests.support.api import Api, exchange_id
from tokenservice.v1 import client_service_pb2 as client_pb
from tokenservice.v1 import code_service_pb2 as code_pb
from tokenservice.v1 import key_service_pb2 as key_pb
from tokenservice.v1 import pairing_service_pb2 as pairing_pb
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as user_pb

PC = types.Device(device_id="pc", name="A PC", user_agent="Browser", ip_address="198.51.100.7")
PHONE = types.Device(device_id="phone", name="A phone", ip_address="198.51.100.7")
FROM_REDIS = ("OK", "UNAVAILABLE STORE_UNAVAILABLE")
"""A pairing that nobody has scanned is in Redis alone, which gets 50 ms: too few on a machine that
is busy with something else."""
REVOKED, MISTYPED = 0.2, 0.3
"""Shares of the codes. A client with more than 3,000 wrong ones in 15 minutes is locked out."""
PURPOSES = (
    types.KEY_PURPOSE_SIGNING,
    types.KEY_PURPOSE_MINT,
    types.KEY_PURPOSE_OPAQUE,
    types.KEY_PURPOSE_PEPPER,
)


class Codes:
    """One-time codes."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def code(self) -> None:
        """One that is revoked, or redeemed; before, some people mistype it."""
        call, api = self._context.tally.call, self._context.caller("shop").api
        recipient = f"{secrets.token_hex(6)}@example.com"
        issued = await call("issue a code", self._issue(api, recipient))
        if random.random() < REVOKED:
            request = code_pb.RevokeCodeRequest(code_id=issued.code_id)
            await call("revoke a code", api.codes.RevokeCode(request, metadata=api.metadata))
            return
        if random.random() < MISTYPED:
            wrong = "".join("1" if digit == "0" else "0" for digit in issued.code)
            redeem = self._redeem(api, recipient, wrong)
            await self._context.tally.refused("wrong code", redeem, "NOT_FOUND CODE_UNKNOWN")
        await call("redeem a code", self._redeem(api, recipient, issued.code))

    def _issue(self, api: Api, recipient: str) -> Any:
        request = code_pb.IssueCodeRequest(
            purpose="login", kind=types.CODE_KIND_VERIFICATION, recipient=recipient
        )
        return api.codes.IssueCode(request, metadata=api.metadata, timeout=20)

    def _redeem(self, api: Api, recipient: str, code: str) -> Any:
        request = code_pb.RedeemCodeRequest(purpose="login", recipient=recipient, code=code)
        return api.codes.RedeemCode(request, metadata=api.metadata, timeout=20)


class Pairings:
    """An anonymous PC shows a code, a phone that is logged in scans it."""

    def __init__(self, context: Context, sessions: Sessions) -> None:
        self._context = context
        self._sessions = sessions

    async def pairing(self) -> None:
        """One that leads to a session, watched by the PC until then."""
        context, phone_session = self._context, self._context.logged_in.get("mobile")
        if phone_session is None:
            return
        pc, phone, call = (
            context.caller("web").api,
            context.caller("mobile").api,
            context.tally.call,
        )
        started = await call("start a pairing", self._start(pc), *FROM_REDIS)
        proof = {"pairing_id": started.pairing_id, "watch_secret": started.watch_secret}
        watch: Any = pc.pairings.WatchPairing(
            pairing_pb.WatchPairingRequest(**proof), metadata=pc.metadata
        )
        with contextlib.closing(_Cancelled(watch)):
            await call("watch a pairing", watch.read(), *FROM_REDIS)
            scanned = await call(
                "scan a pairing",
                self._scan(phone, started.code, phone_session.session_token),
                *FROM_REDIS,
            )
            shown = await call("watch a pairing", watch.read(), *FROM_REDIS)
            approve = pairing_pb.ApprovePairingRequest(
                pairing_id=started.pairing_id,
                scan_secret=scanned.scan_secret,
                session_token=phone_session.session_token,
                check_number=shown.check_number,
            )
            await call(
                "approve a pairing",
                phone.pairings.ApprovePairing(approve, metadata=phone.metadata, timeout=20),
            )
            await call("watch a pairing", watch.read(), *FROM_REDIS)
        collect = pairing_pb.CollectPairingRequest(exchange_id=exchange_id(), **proof)
        collected = await call(
            "collect a pairing",
            pc.pairings.CollectPairing(collect, metadata=pc.metadata, timeout=20),
        )
        context.tell(collected.tokens)
        await self._sessions.exchange("web", collected.tokens)

    async def abandoned_pairing(self) -> None:
        """One that is watched for a moment, and then cancelled, denied or forgotten."""
        context, call = self._context, self._context.tally.call
        pc, phone = context.caller("web").api, context.caller("mobile").api
        started = await call("start a pairing", self._start(pc), *FROM_REDIS)
        proof = {"pairing_id": started.pairing_id, "watch_secret": started.watch_secret}
        watch: Any = pc.pairings.WatchPairing(
            pairing_pb.WatchPairingRequest(**proof), metadata=pc.metadata
        )
        with contextlib.closing(_Cancelled(watch)):
            await call("watch a pairing", watch.read(), *FROM_REDIS)
            await asyncio.sleep(random.uniform(0, 2))
        how, phone_session = random.random(), context.logged_in.get("mobile")
        if how < 0.3:
            cancel = pairing_pb.CancelPairingRequest(**proof)
            await call(
                "cancel a pairing",
                pc.pairings.CancelPairing(cancel, metadata=pc.metadata, timeout=20),
                *FROM_REDIS,
            )
        elif how < 0.5 and phone_session is not None:
            scanned = await call(
                "scan a pairing",
                self._scan(phone, started.code, phone_session.session_token),
                *FROM_REDIS,
            )
            deny = pairing_pb.DenyPairingRequest(
                pairing_id=started.pairing_id, scan_secret=scanned.scan_secret
            )
            await call(
                "deny a pairing",
                phone.pairings.DenyPairing(deny, metadata=phone.metadata, timeout=20),
            )

    def _start(self, pc: Api) -> Any:
        request = pairing_pb.StartPairingRequest(
            direction=types.PAIRING_DIRECTION_MAP, device=PC, audiences=[AUDIENCE]
        )
        return pc.pairings.StartPairing(request, metadata=pc.metadata, timeout=20)

    def _scan(self, phone: Api, code: str, session_token: str) -> Any:
        request = pairing_pb.ScanPairingRequest(
            code=code, scan_id=os.urandom(16), session_token=session_token, device=PHONE
        )
        return phone.pairings.ScanPairing(request, metadata=phone.metadata, timeout=20)


class _Cancelled:
    """A stream that is cancelled when it is closed."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def close(self) -> None:
        self._call.cancel()


class Administration:
    """Users, clients, policies and keys that change."""

    def __init__(self, context: Context, sessions: Sessions) -> None:
        self._context = context
        self._sessions = sessions
        self._api = context.caller("admin").api
        self._off_and_on = asyncio.Lock()
        self._purposes = itertools.cycle(PURPOSES)

    async def new_person(self) -> Person:
        """Create a user."""
        username, password = f"u-{secrets.token_hex(8)}", secrets.token_urlsafe(16)
        request = user_pb.CreateUserRequest(username=username, password=password, roles=[ROLE])
        call = self._api.users.CreateUser(request, metadata=self._api.metadata, timeout=20)
        made = await self._context.tally.call("create a user", call)
        return Person(made.user.user_id, username, password)

    async def user(self) -> None:
        """A user who is made, logs in, is disabled, which ends the session, and is deleted."""
        context, api, person = self._context, self._api, await self.new_person()
        web = context.caller("web").api
        tokens = await context.tally.call(
            "log in", web.login(person.username, person.password, audiences=[AUDIENCE])
        )
        disable = user_pb.DisableUserRequest(user_id=person.user_id)
        disabled = await context.tally.call(
            "disable a user", api.users.DisableUser(disable, metadata=api.metadata, timeout=20)
        )
        context.tell(tokens, "REVOKED", disabled.revision)
        delete = user_pb.DeleteUserRequest(user_id=person.user_id)
        await context.tally.call(
            "delete a user", api.users.DeleteUser(delete, metadata=api.metadata, timeout=20)
        )

    async def policy(self) -> None:
        """A policy that is written anew: nothing remembered of clients holds any more."""
        api, call = self._api, self._context.tally.call
        get = client_pb.GetClientRequest(client_id="app-1")
        found = await call(
            "get a client", api.clients.GetClient(get, metadata=api.metadata, timeout=20)
        )
        update = client_pb.UpdateClientPolicyRequest(client_id="app-1", policy=found.client.policy)
        await call(
            "update a policy",
            api.clients.UpdateClientPolicy(update, metadata=api.metadata, timeout=20),
        )

    async def client(self) -> None:
        """A client that is disabled, which ends its sessions, and comes back."""
        async with self._off_and_on:
            await self._disable_and_enable("app-off-and-on")

    async def _disable_and_enable(self, client_id: str) -> None:
        context, api = self._context, self._api
        tokens = await self._sessions.open(context.caller(client_id))
        await asyncio.sleep(2)  # until the validator has had its say about a good token
        disable = client_pb.DisableClientRequest(client_id=client_id)
        disabled = await context.tally.call(
            "disable a client",
            api.clients.DisableClient(disable, metadata=api.metadata, timeout=20),
        )
        context.tell(tokens, "REVOKED", disabled.revision)
        enable = client_pb.EnableClientRequest(client_id=client_id)
        await context.tally.call(
            "enable a client", api.clients.EnableClient(enable, metadata=api.metadata, timeout=20)
        )

    async def key(self) -> None:
        """The next purpose gets a new key."""
        request = key_pb.RotateKeyRequest(purpose=next(self._purposes))
        await self._context.tally.refused(
            "rotate a key",
            self._api.keys.RotateKey(request, metadata=self._api.metadata, timeout=20),
            "OK",
            "FAILED_PRECONDITION",  # the one before is not in use yet
        )
