"""What one example of the machine remembers, and the questions that its rules ask."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from tests.e2e.model_driver import Driver, expected
from tests.e2e.model_records import ADMIN, SERVICE, Client, Refused, Session, User
from tests.support.api import Api
from tokenservice.core import TrustEffect, TrustEntryKind
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users_pb

Item = TypeVar("Item")


@dataclass(frozen=True)
class Place:
    """Where the machine runs: on a service with a model, and another user besides."""

    driver: Driver
    flush_redis: Callable[[], object]
    numbers: Iterator[int]
    stranger: tuple[str, str]


@dataclass(frozen=True)
class Asked:
    """An exchange as it was asked for; `password` for a Reauthenticate."""

    caller: str
    token: str
    exchange_id: bytes
    audiences: tuple[str, ...]
    scopes: frozenset[str]
    password: str = ""
    within: int | None = None


class MachineBase(RuleBasedStateMachine):
    """One user at many clients. The service, its keys and its clients live on from one example
    to the next; nothing that is drawn depends on what an earlier one left there."""

    user: User

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.driver = place.driver
        self.model = place.driver.model
        self.number = next(place.numbers)
        self.passwords = itertools.count(1)
        self.exchange_ids = itertools.count(1)
        self.asked: list[Asked] = []
        self.revision = 0

    def start(self, roles: frozenset[str]) -> None:
        """Create this example's user. Nothing is left of the examples before: after a failed one
        service and model disagree."""
        self.driver.wait(self.driver.learn_keys())
        ended = self.admin(lambda api: api.tokens.Revoke, pb.RevokeRequest(subject="demo-api"))
        self.model.begin(self.driver.clock.moment, ended.revision)
        self.revision = ended.revision
        name, password = f"user-{self.number}", self.new_password()
        created = self.admin(
            lambda api: api.users.CreateUser,
            users_pb.CreateUserRequest(username=name, password=password, roles=sorted(roles)),
        )
        self.user = User(created.user.user_id, name, password, roles)

    # --- asking ---

    def admin(self, method: Callable[[Api], Any], request: Any) -> Any:
        """Ask as the administrator."""
        return self.driver.ask(ADMIN, method, request)

    def log_in(
        self,
        client_id: str,
        audiences: tuple[str, ...] = (),
        scopes: frozenset[str] = frozenset(),
        device: str = "",
        *,
        who: str = "user",
    ) -> None:
        """Issue; `who` is the "client" itself, or whose password is given."""
        client: Client = self.model.clients[client_id]
        request = pb.IssueRequest(
            audiences=audiences, scopes=sorted(scopes), device=types.Device(device_id=device)
        )
        if who == "client":
            request.client.SetInParent()
        else:
            request.password.CopyFrom(self._credential(who))
            request.platform = client.platform  # type: ignore[assignment]
        got = self.driver.ask(client_id, lambda api: api.tokens.Issue, request)
        user, right = (None if who == "client" else self.user), who != "wrong"
        want = expected(lambda: self.model.issue(client, user, right, audiences, scopes, device))
        self.driver.check_handout(want, got)

    def exchange(self, asked: Asked) -> None:
        """Exchange or Reauthenticate, and remember what was asked."""
        self.asked.append(asked)
        self.driver.flush_activity()  # a retry's answer tells until when the session is good
        request: dict[str, Any] = {
            "token": asked.token,
            "exchange_id": asked.exchange_id,
            "audiences": asked.audiences,
            "scopes": sorted(asked.scopes),
        }
        password: tuple[str, str] | None = None
        if asked.password:
            credential = self._credential(asked.password)
            password = (credential.username, credential.password)
            fresh = pb.ReauthenticateRequest(password=credential, **request)
            got = self.driver.ask(asked.caller, lambda api: api.tokens.Reauthenticate, fresh)
        else:
            plain = pb.ExchangeRequest(**request)
            if asked.within is not None:
                plain.replay_within.FromSeconds(asked.within)
            got = self.driver.ask(asked.caller, lambda api: api.tokens.Exchange, plain)
        want = expected(
            lambda: self.model.exchange(
                asked.caller,
                asked.token,
                asked.exchange_id,
                asked.audiences,
                asked.scopes,
                password=password,
                within=None if asked.password else asked.within,
            )
        )
        self.driver.check_handout(want, got)

    def validate_all(self) -> None:
        """Validate every token that this example knows of, where it belongs."""
        for token in list(self.model.accesses):
            self.driver.validate(token, self.audience(token), frozenset(), None, self.revision)

    def revoke(self, caller: str, change: Callable[[], int], **target: Any) -> None:
        """Revoke; `change` does it in the model and counts the sessions that it ends."""
        got = self.driver.ask(caller, lambda api: api.tokens.Revoke, pb.RevokeRequest(**target))
        self.check_revoked(expected(change), got)

    def check_revoked(self, want: int | str | None, got: Any) -> None:
        """The refusal is the same, or the revision is the model's, and the count where one is."""
        if isinstance(want, str) or isinstance(got, str):
            assert got == want
            return
        assert got.revision == self.model.head
        self.revision = got.revision
        if want is not None:
            assert got.revoked_sessions == want

    def bulk(self, kind: TrustEntryKind, id_: str = "", device: str = "") -> int:
        """Add an entry that kills by revision; how many live sessions it ends."""
        doomed = [session for session in self.model.live(id_) if device in ("", session.device)]
        revision = self.model.append(kind, id_, device)
        if kind is TrustEntryKind.SUBJECT:
            if id_ == self.user.user_id:
                self.user.valid_rev = revision
            else:
                self.model.clients[id_].own_valid_rev = revision
        elif kind is TrustEntryKind.SUBJECT_DEVICE:
            self.model.devices[id_, device] = revision
        elif kind is TrustEntryKind.CLIENT:
            self.model.clients[id_].valid_rev = revision
            return 0
        elif kind is TrustEntryKind.EVERYTHING:
            self.model.valid_rev = revision
            return 0
        return len(doomed)

    def narrow(self) -> None:
        """The user's access tokens are to be exchanged."""
        self.model.append(TrustEntryKind.SUBJECT, self.user.user_id, effect=TrustEffect.REISSUE)

    # --- choosing ---

    def credential_token(self, age: int) -> str:
        """A session or rolling token that was handed out."""
        return pick(list(self.model.credentials), age) or "tsk_web_nothing"

    def live_token(self, age: int) -> str:
        """The current token of a live session; any where there is none."""
        good = [
            token
            for token, one in self.model.credentials.items()
            if self.model.is_live(one.session) and one.generation == one.session.generation
        ]
        return pick(good, age) or self.credential_token(age)

    def spent_token(self, age: int) -> str:
        """A former token of a live session; any where there is none."""
        spent = [
            token
            for token, one in self.model.credentials.items()
            if self.model.is_live(one.session) and one.generation < one.session.generation
        ]
        return pick(spent, age) or self.credential_token(age)

    def any_token(self, age: int) -> str:
        """Any of them."""
        both = {**self.model.credentials, **self.model.accesses}
        return pick(list(both), age) or "nothing"

    def owner(self, token: str) -> str:
        """Whose token it is; somebody for none."""
        found = self.model.credentials.get(token) or self.model.accesses.get(token)
        return found.session.client.client_id if found else "demo-web"

    def audience(self, token: str) -> str:
        """Where the token belongs; somewhere else for one that no gateway asks about."""
        access = self.model.accesses.get(token)
        return access.audience if access and access.audience != SERVICE else "orders"

    def repeatable(self) -> list[Asked]:
        """The exchanges that made the current generation of a live session."""
        found = []
        for asked in self.asked:
            one = self.model.credentials.get(asked.token)
            if one is None or not asked.exchange_id or not self.model.is_live(one.session):
                continue
            if one.generation == one.session.generation - 1:
                found.append(asked)
        return found

    def session(self, age: int) -> Session:
        """A session of a token that was handed out; every example has one."""
        found = pick([one.session for one in self.model.credentials.values()], age)
        assert found is not None
        return found

    def exchange_id(self, choice: str) -> bytes:
        """A new one, none, or one that was used already."""
        used = [asked.exchange_id for asked in self.asked if asked.exchange_id]
        if choice == "none":
            return b""
        if choice == "used" and used:
            return used[-1]
        return self.number.to_bytes(8, "big") + next(self.exchange_ids).to_bytes(8, "big")

    def new_password(self) -> str:
        """A password that was never used before."""
        return f"a password of {self.number}, the {next(self.passwords)}th of it"

    def _credential(self, who: str) -> pb.PasswordCredential:
        if who == "stranger":
            username, password = self.place.stranger
            return pb.PasswordCredential(username=username, password=password)
        password = self.user.password if who == "user" else "not the password of anybody"
        return pb.PasswordCredential(username=self.user.username, password=password)


def pick(items: Sequence[Item], age: int) -> Item | None:
    """The item that `age` others came after; round about where there are not as many."""
    return items[-1 - age % len(items)] if items else None


def refuse_unless(allowed: bool, reason: str) -> None:
    """In the model: go on only where it is allowed."""
    if not allowed:
        raise Refused(reason)
