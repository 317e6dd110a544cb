"""A key that a fresh view does not have is asked about once; made-up ones cost next to nothing."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.hands import HandClock
from tests.support.tokens import ISSUER, NOW, claims, der, header, key, sign
from tests.support.waiting import PATIENCE
from tests.unit.crypto.builders import access
from tokenservice import Decision, Source, Unreachable
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._decisions.unknown_keys import (
    ANSWERED_SECONDS,
    BURST,
    UNANSWERED_SECONDS,
    UnknownKeys,
)
from tokenservice._messages import number
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.remote import RemoteValidation
from tokenservice.core import (
    Facts,
    KeyState,
    TrustState,
    Verdict,
    parse_jwt,
    seal_access,
)
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

PRIVATE = Ed25519PrivateKey.generate()
NEW = Ed25519PrivateKey.generate()
NEW_KEY = replace(key(public_key=der(NEW.public_key())), kid="new-key")


class Server:
    """Knows the new key already, and answers when it is let."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.knows = True
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(
        self, requests: Sequence[pb.ValidateRequest]
    ) -> Sequence[pb.ValidateResponse]:
        self.questions += [one.token for one in requests]
        await self.gate.wait()
        if self.down:
            raise Unreachable("", "", grpc.StatusCode.UNAVAILABLE)
        return [self._answer(one.token) for one in requests]

    def _answer(self, token: str) -> pb.ValidateResponse:
        authentic = self.knows and "." in token and token_kid(token) == "new-key"
        return answered(parse_jwt(token, ISSUER).facts if authentic else None)


def token_kid(token: str) -> str:
    return parse_jwt(token, ISSUER).kid


def answered(facts: Facts | None) -> pb.ValidateResponse:
    """What the service says of a token: all that it knows of an authentic one, and for how long
    that may be kept."""
    if facts is None:
        answer = pb.ValidateResponse(verdict=number(Verdict.UNKNOWN), http_status=401)
    else:
        principal = types.Principal(
            subject=facts.subject,
            client_id=facts.client_id,
            session_id=facts.session_id,
            device_id=facts.device_id,
            kind=number(facts.kind),
            scopes=facts.scopes,
            roles=facts.roles,
            audience=facts.audience,
            issued_at=Timestamp(seconds=facts.issued_at),
            expires_at=Timestamp(seconds=facts.expires_at),
            auth_time=Timestamp(seconds=facts.auth_time),
            acr=facts.acr,
            amr=facts.amr,
            token_id=facts.token_id,
        )
        answer = pb.ValidateResponse(
            verdict=number(Verdict.ACTIVE), http_status=200, principal=principal
        )
        answer.cache.max_age.seconds = facts.expires_at - NOW
    answer.cache.revision = 100
    return answer


class Gateway:
    """A validator with a fresh view of revision 100, which lacks the new key."""

    def __init__(self) -> None:
        self.hand = HandClock()
        self.server = Server()
        trust = TrustState()
        trust.apply_snapshot(
            "epoch", ISSUER, 100, self.hand.reading, [key(public_key=der(PRIVATE.public_key()))], []
        )
        self.local = LocalValidator(
            trust=trust, clock=self.hand.clock, unknown_keys=UnknownKeys(), staleness_limit=1e9
        )
        self.validator = AssembledValidator(
            self.local, RemoteValidation(self.server, timeout=PATIENCE)
        )

    async def validate(self, token: str) -> Decision:
        return await self.validator.validate(token, audience="orders")

    def publish(self) -> None:
        trust = self.local.trust
        keys = [*trust.keys.values(), NEW_KEY]
        trust.apply_delta("epoch", 100, 101, self.hand.reading, [], keys)
        self.local.keys_changed()


def token(kid: str = "new-key", jti: str = "", by: Ed25519PrivateKey = NEW) -> str:
    named = {"jti": jti} if jti else {}
    return sign(by, header(kid=kid), claims(**named))


async def test_made_up_keys_cost_a_question_a_second() -> None:
    gateway = Gateway()
    for second in range(10):
        for one in range(300):
            made_up = token(f"{second}.{one}")
            assert (await gateway.validate(made_up)).verdict is Verdict.UNKNOWN
        gateway.hand.advance(1)
    assert 10 <= len(gateway.server.questions) <= BURST + 10
    assert len(gateway.local.unknown_keys._answers) <= BURST + ANSWERED_SECONDS + 1  # type: ignore[union-attr]
    # None of which keeps a real one out when the feed brings it.
    gateway.publish()
    decision = await gateway.validate(token())
    assert (decision.verdict, decision.source) == (Verdict.ACTIVE, Source.LOCAL)


async def test_a_key_that_the_feed_brings_late() -> None:
    gateway = Gateway()
    first = await gateway.validate(token())
    assert (first.verdict, first.source) == (Verdict.ACTIVE, Source.REMOTE)
    # What the server knows is asked about for as long as the feed does not know it.
    for jti in ("a", "b", "c"):
        assert (await gateway.validate(token(jti=jti))).source is Source.REMOTE
    # One that it has answered about as well: the answer says nothing of its key.
    assert (await gateway.validate(token())).verdict is Verdict.ACTIVE
    gateway.publish()
    decision = await gateway.validate(token(jti="d"))
    assert (decision.verdict, decision.source) == (Verdict.ACTIVE, Source.LOCAL)
    assert len(gateway.server.questions) == 5
    # What was told of the others holds without another question.
    assert (await gateway.validate(token())).source is Source.LOCAL
    assert len(gateway.server.questions) == 5


async def test_those_who_come_meanwhile_wait_for_the_first_answer() -> None:
    for knows, verdict in ((True, Verdict.ACTIVE), (False, Verdict.UNKNOWN)):
        gateway = Gateway()
        gateway.server.knows = knows
        gateway.server.gate.clear()
        asked = [
            asyncio.create_task(gateway.validate(token(jti=str(number)))) for number in range(50)
        ]
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(gateway.server.questions) == 1
        gateway.server.gate.set()
        assert {one.verdict for one in await asyncio.gather(*asked)} == {verdict}
        assert len(gateway.server.questions) == (50 if knows else 1)


async def test_an_unknown_key_is_asked_about_once() -> None:
    gateway = Gateway()
    gateway.server.knows = False
    for number_ in range(20):
        assert (await gateway.validate(token(jti=str(number_)))).verdict is Verdict.UNKNOWN
    assert len(gateway.server.questions) == 1
    gateway.hand.advance(ANSWERED_SECONDS)
    gateway.server.knows = True
    assert (await gateway.validate(token())).verdict is Verdict.ACTIVE


async def test_without_an_answer_nothing_is_known() -> None:
    gateway = Gateway()
    gateway.server.down = True
    decision = await gateway.validate(token())
    assert (decision.verdict, decision.http_status) == (Verdict.UNSPECIFIED, 503)
    gateway.server.down = False
    assert (await gateway.validate(token())).verdict is Verdict.ACTIVE


async def test_an_opaque_token_with_an_unknown_key() -> None:
    gateway = Gateway()
    fields = {"key_id": "0a0b0c0d", "issued_at": NOW, "expires_at": NOW + 300, "rev": 100}
    opaque = seal_access(access(**fields), b"the server's own")
    for _ in range(3):
        assert (await gateway.validate(opaque)).verdict is Verdict.UNKNOWN
    assert len(gateway.server.questions) == 1


async def test_a_compromised_key_is_not_asked_about() -> None:
    gateway = Gateway()
    compromised = replace(NEW_KEY, kid="gone", state=KeyState.COMPROMISED)
    trust = gateway.local.trust
    keys = [*trust.keys.values(), compromised]
    trust.apply_delta("epoch", 100, 101, gateway.hand.reading, [], keys)
    assert (await gateway.validate(token("gone"))).verdict is Verdict.REVOKED
    assert gateway.server.questions == []


def test_a_question_that_is_never_answered_is_forgotten() -> None:
    keys = UnknownKeys()
    assert keys.ask_about("k", 100.0)
    assert keys.ask_about("k", 100.1)  # under way
    keys.answered("k", 100.2, known=None)
    for _ in range(int(BURST) - 1):
        assert keys.ask_about("k", 100.2)
        keys.answered("k", 100.2, known=None)
    assert not keys.ask_about("k", 100.2)
    assert keys.ask_about("k", 100.2 + UNANSWERED_SECONDS)


@pytest.mark.parametrize("threads", [8])
def test_threads_share_the_limit(threads: int) -> None:
    keys = UnknownKeys()
    asked: list[int] = []

    def flood(number_: int) -> None:
        asked.append(sum(keys.ask_about(f"{number_}.{one}", 100.0) for one in range(2_000)))

    running = [threading.Thread(target=flood, args=(one,)) for one in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    assert sum(asked) == BURST
