"""Asks the service, reads its answers, and holds them against what the model expects."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from math import ceil, nan
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tests.e2e.model import Model
from tests.e2e.model_keys import Key
from tests.e2e.model_records import ADMIN, GATEWAY, Access, Credential, Handout, Refused
from tests.support.api import Api
from tests.support.clocks import ShiftedClock
from tests.support.fixtures import LocalServer
from tests.support.outcomes import outcome
from tokenservice.core import AccessFormat, KeyState, TokenKind, TrustEntryKind, Verdict
from tokenservice.v1 import key_service_pb2 as keys_pb
from tokenservice.v1 import session_service_pb2 as sessions_pb
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

Result = TypeVar("Result")

CALL_SECONDS = 60.0
_STATUS = {Verdict.ACTIVE: 200, Verdict.INSUFFICIENT_SCOPE: 403}
_NAMED = {Verdict.ACTIVE, Verdict.INSUFFICIENT_SCOPE, Verdict.STEP_UP_REQUIRED}
_PURPOSES = {
    "SIGNING": types.KEY_PURPOSE_SIGNING,
    "MINT": types.KEY_PURPOSE_MINT,
    "PEPPER": types.KEY_PURPOSE_PEPPER,
    "OPAQUE": types.KEY_PURPOSE_OPAQUE,
}


class StandingClock(ShiftedClock):
    """Time passes only where the test says so, once `stand` was called."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = nan

    def stand(self) -> float:
        """Stop, at a fraction of a second that floating point numbers hold exactly."""
        self.moment = ceil(self.anchor.now()) + 0.25
        return self.moment

    def _shifted(self) -> float:
        return self.anchor.now() if self.moment != self.moment else self.moment


def expected(answer: Callable[[], Result]) -> Result | str:
    """The model's answer, or the reason of its refusal."""
    try:
        return answer()
    except Refused as refused:
        return str(refused)


def seconds(stamp: Timestamp) -> float:
    """A time of the wire; exact, for it is a multiple of a quarter of a second."""
    return stamp.seconds + stamp.nanos / 1e9


@dataclass
class Driver:
    """The service on its own event loop, for a test in another thread."""

    loop: asyncio.AbstractEventLoop
    server: LocalServer
    clock: StandingClock
    apis: dict[str, Api]
    model: Model

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run `work` over there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(CALL_SECONDS)

    def ask(self, caller: str, method: Callable[[Api], Any], request: Any) -> Any:
        """The reply, or the reason of the refusal."""

        async def call() -> Any:
            api = self.apis[caller]
            reply: Awaitable[Any] = method(api)(request, metadata=api.metadata)
            return await outcome(reply)

        return self.wait(call())

    def advance(self, by: float) -> None:
        """Write what is pending, then let time pass for the service and the model."""

        async def step() -> None:
            parts = self.server.application.parts
            await parts.activity.flush()
            self.clock.moment += by
            await parts.key_maintenance.tick()
            await parts.follower.refresh()

        self.wait(step())
        self.model.write_activity()
        self.model.now += by
        self.model.keys.tick(self.model.now)

    def flush_activity(self) -> None:
        """Write the activity that was gathered."""
        self.wait(_done(self.server.application.parts.activity.flush))
        self.model.write_activity()

    def check_sessions(self, subject: str) -> None:
        """The live sessions are the model's, and so is what became of them."""
        self.flush_activity()
        listed: list[sessions_pb.Session] = []
        request = sessions_pb.ListSessionsRequest(subject=subject, page_size=2)
        more = True
        while more:
            got = self.ask(ADMIN, lambda api: api.sessions.ListSessions, request)
            listed += got.sessions
            request.page_token = got.next_page_token
            more = request.page_token != ""
        times = {
            one.session_id: (
                seconds(one.auth_time),
                seconds(one.last_activity_at),
                seconds(one.idle_expires_at),
            )
            for one in listed
        }
        assert times == {
            one.session_id: (one.auth_time, one.last_active, one.idle_at)
            for one in self.model.live(subject)
        }
        assert len(times) == len(listed)

    def sweep(self) -> None:
        """Let the service forget what is over."""
        self.wait(_done(self.server.application._sweep))
        self.model.sweep()

    async def learn_keys(self) -> None:
        """Take the service's keys for the model's."""
        names = {number: name for name, number in _PURPOSES.items()}
        self.model.keys.all = [
            Key(
                key.kid,
                names[key.purpose],
                KeyState(key.state),
                seconds(key.activates_at),
                seconds(key.retires_at) if key.HasField("retires_at") else None,
            )
            for key in reversed(await self._listed_keys())
        ]

    async def _listed_keys(self) -> list[keys_pb.Key]:
        """All keys, the newest first."""
        api, request = self.apis[ADMIN], keys_pb.ListKeysRequest()
        listed: list[keys_pb.Key] = []
        more = True
        while more:
            reply = await api.keys.ListKeys(request, metadata=api.metadata)
            listed += reply.keys
            request.page_token = reply.next_page_token
            more = request.page_token != ""
        return listed

    def rotate_key(self, purpose: str) -> None:
        """Publish the next key."""
        self._be_later()
        request = keys_pb.RotateKeyRequest(purpose=_PURPOSES[purpose])
        got = self.ask(ADMIN, lambda api: api.keys.RotateKey, request)
        want = self.model.keys.rotate(purpose, self.model.now)
        if want is None:
            assert got == "KEY_STATE"
            return
        want.kid = got.key.kid
        assert KeyState(got.key.state) is want.state
        assert seconds(got.key.activates_at) == want.activates_at
        self.check_keys()

    def compromise_key(self, purpose: str, age: int) -> None:
        """End one of the newest keys of a purpose."""
        self._be_later()
        key = [key for key in self.model.keys.all if key.purpose == purpose][-3:][-1 - age :][0]
        request = keys_pb.CompromiseKeyRequest(kid=key.kid)
        got = self.ask(ADMIN, lambda api: api.keys.CompromiseKey, request)
        if self.model.keys.compromise(key, self.model.now):
            self.model.append(TrustEntryKind.KEY, key.kid)
        assert not isinstance(got, str), got
        assert KeyState(got.key.state) is KeyState.COMPROMISED
        assert got.revision == self.model.head
        self.check_keys()

    def _be_later(self) -> None:
        """No two keys are made at one moment: chance would decide which of them is the newer."""
        self.advance(0.25)

    def check_keys(self) -> None:
        """The service has the model's keys in the model's states; new ones get their names."""
        listed = {key.kid: key for key in self.wait(self._listed_keys())}
        known = {key.kid for key in self.model.keys.all}
        for nameless in [key for key in self.model.keys.all if not key.kid]:
            purpose = _PURPOSES[nameless.purpose]
            fresh = [kid for kid in listed if kid not in known and listed[kid].purpose == purpose]
            assert len(fresh) == 1
            nameless.kid = fresh[0]
        assert {kid: KeyState(key.state) for kid, key in listed.items()} == {
            key.kid: key.state for key in self.model.keys.all
        }

    # --- tokens handed out ---

    def check_handout(self, want: Handout | str, got: Any) -> None:
        """The refusal is the same, or the tokens are what the model hands out."""
        if isinstance(want, str) or isinstance(got, str):
            assert got == want
            return
        assert getattr(got, "replayed", False) is want.replayed
        tokens, session = got.tokens, want.session
        session.session_id = session.session_id or tokens.session_id
        assert tokens.session_id == session.session_id
        assert tokens.session_kind == session.client.kind
        assert seconds(tokens.session_idle_expires_at) == session.idle_at
        assert seconds(tokens.session_absolute_expires_at) == session.absolute_at
        assert tuple(access.audience for access in tokens.access_tokens) == want.audiences
        if session.client.kind is TokenKind.ROLLING:
            assert tokens.session_token == ""
            rolling = tokens.access_tokens[0]
            assert seconds(rolling.exchange_until) == session.idle_at
            self._learn_credential(want, rolling.token, _claims(rolling.token)[1]["xt"])
        else:
            token = tokens.session_token
            self._learn_credential(want, token, token.split("_", 2)[2][:60])
        for access in tokens.access_tokens:
            self._learn_access(want, access)

    def _learn_credential(self, want: Handout, token: str, authority: str) -> None:
        """Whoever exchanges again gets the same successor: one authority per generation."""
        session = want.session
        payload = _decoded(authority)
        assert payload[:4].hex() == session.mint_kid
        assert int.from_bytes(payload[20:24], "big") == session.generation
        first = session.authorities.setdefault(session.generation, authority)
        assert authority == first
        self.model.credentials[token] = Credential(session, session.generation, session.mint_kid)

    def _learn_access(self, want: Handout, access: types.AccessToken) -> None:
        session = want.session
        assert frozenset(access.scopes) == want.scopes
        assert seconds(access.expires_at) == want.expires_at
        form = AccessFormat.OPAQUE if session.client.opaque else AccessFormat.JWT
        assert AccessFormat(access.format) is form
        if session.client.opaque:
            key_id = _decoded(access.token.split("_", 2)[2])[:4].hex()
            index = session.audiences.index(access.audience)
            token_id = f"{session.session_id}.{session.generation}.{index}"
            assert key_id == self.model.keys.active("OPAQUE")
        else:
            header, claims = _claims(access.token)
            key_id, token_id = header["kid"], claims["jti"]
            assert key_id == self.model.keys.active("SIGNING")
            assert claims["rev"] == want.rev
            if session.client.kind is TokenKind.ROLLING:
                same = session.token_ids.setdefault(session.generation, token_id)
                assert token_id == same
        self.model.accesses.setdefault(
            access.token,
            Access(
                session=session,
                generation=session.generation,
                audience=access.audience,
                scopes=want.scopes,
                issued_at=want.issued_at,
                expires_at=want.expires_at,
                auth_time=int(session.auth_time),
                rev=want.rev,
                key_id=key_id,
                token_id=token_id,
                roles=session.roles,
            ),
        )

    # --- verdicts ---

    def validate(
        self,
        token: str,
        audience: str,
        scopes: frozenset[str],
        max_auth_age: int | None,
        min_revision: int,
    ) -> Verdict | str:
        """Validate, and compare everything that is answered."""
        request = pb.ValidateRequest(
            token=token,
            audience=audience,
            required_scopes=sorted(scopes),
            min_revision=min_revision,
        )
        if max_auth_age is not None:
            request.max_auth_age.CopyFrom(Duration(seconds=max_auth_age))
        got = self.ask(GATEWAY, lambda api: api.tokens.Validate, request)
        if min_revision > self.model.head:
            assert got == "REVISION_UNKNOWN"
            return "REVISION_UNKNOWN"
        want = self.model.verdict(token, audience, scopes, max_auth_age)
        assert not isinstance(got, str), got
        assert Verdict(got.verdict) is want
        assert got.http_status == _STATUS.get(want, 401)
        assert (got.www_authenticate == "") is (want is Verdict.ACTIVE)
        assert got.cache.revision == self.model.head
        assert got.HasField("principal") is (want in _NAMED)
        if want in _NAMED:
            self._check_principal(self.model.accesses[token], got.principal)
        return want

    def _check_principal(self, access: Access, got: types.Principal) -> None:
        session = access.session
        rolling = session.client.kind is TokenKind.ROLLING
        assert got == types.Principal(
            subject=session.subject,
            client_id=session.client.client_id,
            session_id=session.session_id,
            device_id=session.device,
            kind=types.TOKEN_KIND_ROLLING if rolling else types.TOKEN_KIND_ACCESS,
            scopes=sorted(access.scopes),
            roles=got.roles,
            audience=access.audience,
            issued_at=Timestamp(seconds=access.issued_at),
            expires_at=Timestamp(seconds=access.expires_at),
            auth_time=Timestamp(seconds=access.auth_time),
            acr="aal1",
            amr=["app" if session.user is None else "pwd"],
            token_id=access.token_id,
        )
        # An opaque token's roles are its session's of that generation or a later one.
        later = [
            roles
            for generation, roles in session.roles_by_generation.items()
            if generation >= access.generation and session.client.opaque
        ]
        assert list(got.roles) in [sorted(roles) for roles in (access.roles, *later)]


async def _done(work: Callable[[], Awaitable[Result]]) -> Result:
    return await work()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _claims(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = token.split(".")
    return json.loads(_decoded(header)), json.loads(_decoded(payload))
