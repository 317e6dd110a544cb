"""Users: they log in, change passwords, are disabled and enabled, and pair their phones."""

import asyncio
import itertools
import os
import secrets
from dataclasses import dataclass, field

from tests.histories.history import Operation, Outcome
from tests.histories.workload.operations import Context, Held
from tests.histories.workload.pairings import pair
from tests.histories.workload.sessions import Holder
from tests.histories.world import ROLE
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users_pb

_NUMBERS = itertools.count(1)
PAUSE = 0.3
"""Seconds between two things that happen to one user: each hashes passwords."""


@dataclass(slots=True)
class Person:
    """A user as its one administrator knows it."""

    number: int
    user_id: str
    username: str
    password: str = field(repr=False)


class People:
    """One user after the other. After a write whose outcome is unknown another user is made,
    because nobody can say any more what holds for this one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._random = context.random
        self._holder = Holder(context)

    async def run(self) -> None:
        """Until the load stops."""
        while not self._context.stopping:
            person = await self._new()
            if person is None:
                await asyncio.sleep(PAUSE)
                continue
            while not self._context.stopping:
                held = await self.log_in(person, "web")
                if held is not None:
                    await self._holder.insist(held, os.urandom(16))
                event = self._random.choices(
                    (
                        self._set_password,
                        self._disable,
                        self._lose_device,
                        self._pair,
                        self._delete,
                    ),
                    (4, 4, 4, 6, 1),
                )[0]
                if not await event(person, held):
                    break
                await asyncio.sleep(PAUSE)

    async def _new(self) -> Person | None:
        number = next(_NUMBERS)
        username, password = f"u-{secrets.token_hex(6)}", secrets.token_urlsafe(12)
        request = users_pb.CreateUserRequest(username=username, password=password, roles=[ROLE])
        writes = [
            [f"user {number}", "enabled"],
            [f"password {number}", self._context.recorder.number(password)],
        ]
        _, reply = await self._context.call(
            "create_user",
            self._context.node(),
            "admin",
            "users.CreateUser",
            request,
            {"writes": writes},
        )
        return None if reply is None else Person(number, reply.user.user_id, username, password)

    async def log_in(self, person: Person, client: str) -> Held | None:
        """A session by password."""
        device = self._random.choice(("pc", "laptop"))
        request = pb.IssueRequest(
            password=pb.PasswordCredential(username=person.username, password=person.password),
            platform=types.PLATFORM_WEB if client == "web" else types.PLATFORM_MOBILE,
            device=types.Device(device_id=device),
        )
        about = {
            "client": client,
            "user": person.number,
            "password": self._context.recorder.number(person.password),
            "device": device,
        }
        operation, reply = await self._context.call(
            "issue", self._context.node(), client, "tokens.Issue", request, about
        )
        return None if reply is None else self._context.hold(operation, client, reply.tokens)

    async def _set_password(self, person: Person, held: Held | None) -> bool:
        password = secrets.token_urlsafe(12)
        request = users_pb.SetPasswordRequest(new_password=password)
        about: dict[str, object] = {
            "writes": [[f"password {person.number}", self._context.recorder.number(password)]]
        }
        client = "admin"
        if held is not None and self._random.random() < 0.5:
            request.session_token = held.token
            client = held.client
            about["keep"] = held.session
        else:
            request.user_id = person.user_id
        operation, _ = await self._context.revoke(
            ["user", person.number],
            self._context.node(),
            client,
            kind="set_password",
            method="users.SetPassword",
            request=request,
            about=about,
        )
        if operation.ok:
            person.password = password
        return await self._presented(operation, held)

    async def _disable(self, person: Person, held: Held | None) -> bool:
        operation, _ = await self._context.revoke(
            ["user", person.number],
            self._context.node(),
            "admin",
            kind="disable_user",
            method="users.DisableUser",
            request=users_pb.DisableUserRequest(user_id=person.user_id),
            about={"writes": [[f"user {person.number}", "disabled"]]},
        )
        if not await self._presented(operation, held):
            return False
        await self.log_in(person, "web")
        operation, _ = await self._context.call(
            "enable_user",
            self._context.node(),
            "admin",
            "users.EnableUser",
            users_pb.EnableUserRequest(user_id=person.user_id),
            {"writes": [[f"user {person.number}", "enabled"]]},
        )
        return operation.outcome is not Outcome.UNKNOWN

    async def _delete(self, person: Person, held: Held | None) -> bool:
        operation, _ = await self._context.revoke(
            ["user", person.number],
            self._context.node(),
            "admin",
            kind="delete_user",
            method="users.DeleteUser",
            request=users_pb.DeleteUserRequest(user_id=person.user_id),
            about={"writes": [[f"user {person.number}", "deleted"]]},
        )
        await self._presented(operation, held)
        await self.log_in(person, "web")
        return False

    async def _lose_device(self, person: Person, held: Held | None) -> bool:
        device = self._random.choice(("pc", "laptop", ""))
        if device:
            lost = pb.SubjectDevice(subject=person.user_id, device_id=device)
            target = ["device", person.number, device]
            request = pb.RevokeRequest(subject_device=lost)
        else:
            target = ["user", person.number]
            request = pb.RevokeRequest(subject=person.user_id)
        operation, _ = await self._context.revoke(
            target, self._context.node(), "admin", request=request
        )
        await self._presented(operation, held)
        return True

    async def _pair(self, person: Person, held: Held | None) -> bool:
        del held
        phone = await self.log_in(person, "mobile")
        if phone is not None:
            await pair(self._context, phone)
        return True

    async def _presented(self, operation: Operation, held: Held | None) -> bool:
        """Whether the outcome is known; the session is presented again in any case."""
        if held is not None:
            for access in held.access:
                await self._context.validate(access, self._context.node())
            await self._context.exchange(held, self._context.node(), os.urandom(16))
            self._context.ended.extend(held.access)
        return operation.outcome is not Outcome.UNKNOWN
