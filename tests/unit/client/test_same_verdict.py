"""The local decision is the server's: over tokens, keys, trust logs, demands and clocks."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.support.hands import HandClock
from tests.support.tokens import NOW, b64
from tests.unit.client.server_side import ALGORITHMS, ISSUER, KEYS, ServerSide, factory
from tests.unit.crypto.builders import SESSION, access, facts
from token_service.domain.kinds import KeyState, TokenKind
from tokenservice import Decision
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._validator.answers import decision_of, max_age_of, question
from tokenservice.core import (
    Requirement,
    RevocationReason,
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustState,
    seal_session,
)
from tokenservice.core.tokens.opaque import format_opaque

SUBJECT = "00000000-0000-0000-0000-000000000009"
BOUND = b"c" * 32
XT = b"x" * 44

# What is usual is drawn more often, so that tokens get past the first checks.
_states = [KeyState.PENDING, *[KeyState.ACTIVE] * 8, KeyState.RETIRING, KeyState.RETIRED]
key_states = st.fixed_dictionaries(
    {name: st.sampled_from([*_states, KeyState.COMPROMISED]) for name in KEYS}
)
instants = st.one_of(st.integers(NOW, NOW + 50), st.integers(NOW - 120, NOW + 500))
bindings = st.sampled_from([b"", BOUND, BOUND, b"d" * 32])
audiences = st.sampled_from(["orders", "orders", "orders", "billing"])


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    scope = st.sampled_from(["orders.read", "orders.write", "orders.write", "orders.admin"])
    scopes = st.frozensets(scope, max_size=2)
    return Requirement(
        draw(audiences),
        draw(scopes),
        draw(st.sampled_from([None, None, 0.0, 30.5, 100.0, 4000.0])),
        draw(st.sampled_from(["", "", "aal1", "aal2"])),
        draw(bindings),
    )


@st.composite
def entries(draw: st.DrawFn, revision: int) -> TrustEntry:
    kind = draw(st.sampled_from([kind for kind in TrustEntryKind if kind]))
    target = {
        TrustEntryKind.TOKEN: ["jti-1", f"{SESSION}.3.0"],
        TrustEntryKind.SESSION: [SESSION, "elsewhere"],
        TrustEntryKind.SUBJECT: [SUBJECT, "somebody"],
        TrustEntryKind.SUBJECT_DEVICE: [SUBJECT],
        TrustEntryKind.CLIENT: ["web-shop", "another"],
        TrustEntryKind.KEY: [key.kid for key in KEYS.values()],
        TrustEntryKind.EVERYTHING: [""],
    }[kind]
    device = draw(st.sampled_from(["browser-1", "phone"]))
    return TrustEntry(
        revision=revision,
        kind=kind,
        id=draw(st.sampled_from(target)),
        device_id=device if kind is TrustEntryKind.SUBJECT_DEVICE else "",
        effect=draw(st.sampled_from([TrustEffect.REVOKE, TrustEffect.REISSUE])),
        keep_until=NOW + 10_000.0,
        reason=RevocationReason.ADMINISTRATIVE,
    )


@st.composite
def logs(draw: st.DrawFn, first: int, most: int) -> list[TrustEntry]:
    count = draw(st.integers(0, most)) * draw(st.integers(0, 1))
    return [draw(entries(first + step)) for step in range(count)]


@st.composite
def jwts(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from([TokenKind.ACCESS, TokenKind.ROLLING]))
    algorithm, number = draw(st.sampled_from(ALGORITHMS)), draw(st.sampled_from([1, 2]))
    issued = draw(instants)
    signed = facts(
        kind=kind,
        subject=SUBJECT,
        device_id=draw(st.sampled_from(["", "browser-1"])),
        audience=draw(audiences),
        roles=draw(st.sampled_from([(), ("sales",)])),
        issued_at=issued,
        expires_at=issued + draw(st.integers(1, 400)),
        auth_time=issued - draw(st.integers(0, 200)),
        token_id="jti-1",
        rev=draw(st.integers(0, 12)),
        confirmation=draw(st.sampled_from([b"", BOUND])),
    )
    exchange = XT if kind is TokenKind.ROLLING else b""
    return factory(algorithm, number).sign_jwt(signed, algorithm, exchange)


@st.composite
def opaques(draw: st.DrawFn) -> str:
    issued = draw(instants)
    sealed = access(
        generation=draw(st.sampled_from([2, 3, 3, 4])),
        audience_index=draw(st.sampled_from([0, 0, 0, 1, 5])),
        scope_mask=draw(st.sampled_from([0, 1, 3, 3, 9])),
        issued_at=issued,
        expires_at=issued + draw(st.integers(1, 400)),
        rev=draw(st.integers(0, 12)),
        auth_time=issued - draw(st.integers(0, 200)),
        acr=1,
        amr=1,
    )
    return factory("opaque", draw(st.sampled_from([1, 2]))).seal_opaque(sealed)


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """One character of a good token changed, or some more."""
    token = draw(st.one_of(jwts(), opaques()))
    at = draw(st.integers(0, len(token) - 1))
    return token[:at] + draw(st.sampled_from("Aa.-_=\u00e9")) + token[at + 1 :]


def foreign_jwt() -> str:
    header = b64(b'{"alg":"EdDSA","kid":"feedfeedfeedfeed","typ":"at+jwt"}')
    return f"{header}.{factory('EdDSA', 1).sign_jwt(facts(), 'EdDSA').split('.', 1)[1]}"


OTHERS = [
    "",
    "a.b.c",
    "x" * 9000,
    "tsk_nothing",
    "tsk_acc_" + "A" * 100,
    "\ud800.\ud800.\ud800",
    seal_session("web", "0" * 8, b"k" * 32, b"l" * 16, 3),
    format_opaque("cs", b"s" * 32),
    format_opaque("acc", b"\0" * 71),
    foreign_jwt(),
]
junk = st.one_of(spoilt(), st.sampled_from(OTHERS), st.text(max_size=40))
tokens = st.one_of(jwts(), opaques(), opaques(), junk)


class Both:
    """A server and a local validator with the same view."""

    def __init__(
        self, states: Mapping[Any, KeyState], log: list[TrustEntry], now: float, confirmation: bytes
    ) -> None:
        self.hand = HandClock(anchored=False)
        self.hand.clock.anchor(now, self.hand.reading, self.hand.reading)
        self.server = ServerSide(states, 5, log, now, confirmation)
        self.now = now
        trust = TrustState()
        keys = self.server.keyring.public_keys()
        trust.apply_snapshot("epoch", ISSUER, 5, self.hand.reading, keys, log)
        self.local = LocalValidator(trust=trust, clock=self.hand.clock)

    def change(self, states: Mapping[Any, KeyState], log: list[TrustEntry], later: int) -> None:
        self.now += later
        self.hand.advance(later)
        self.server.change(states, 10, log, self.now)
        keys = self.server.keyring.public_keys()
        self.local.trust.apply_delta("epoch", 5, 10, self.hand.reading, log, keys)
        self.local.keys_changed()

    def compare(self, token: str, requirement: Requirement) -> None:
        sendable = token if token.isascii() else "\u00e9"
        answer = self.server.answer(question(sendable, requirement, 0))
        remote = decision_of(answer, 0)
        local = self.decide(token, requirement)
        if local is None:
            event(f"asked: {remote.verdict.name}")
            if remote.principal is not None:
                self.local.learn(
                    token, requirement, remote.principal, self.hand.reading, max_age_of(answer)
                )
            return
        told = "told" if token.startswith("tsk_acc_") else "read"
        event(f"local, {told}: {local.verdict.name}")
        assert (local.verdict, local.http_status, local.www_authenticate, local.principal) == (
            remote.verdict,
            remote.http_status,
            remote.www_authenticate,
            remote.principal,
        )
        assert local.revision == remote.revision

    def decide(self, token: str, requirement: Requirement) -> Decision | None:
        age = requirement.max_auth_age
        return self.local.try_local(
            token,
            requirement.audience,
            requirement.scopes,
            None if age is None else timedelta(seconds=age),
            requirement.acr,
            requirement.confirmation,
        )


@settings(max_examples=250)
@given(st.data())
def test_both_say_the_same_first_and_later(data: st.DataObject) -> None:
    """First with cold caches; then with what both remember, and another log, keys and time."""
    both = Both(
        data.draw(key_states),
        data.draw(logs(1, 3)),
        float(data.draw(instants)),
        data.draw(st.sampled_from([b"", BOUND])),
    )
    some = data.draw(st.lists(tokens, min_size=1, max_size=3))
    demands = data.draw(st.lists(requirements(), min_size=1, max_size=3))
    for requirement in demands:
        for token in some:
            both.compare(token, requirement)
    both.change(data.draw(key_states), data.draw(logs(6, 3)), data.draw(st.integers(1, 200)))
    for requirement in demands:
        for token in some:
            both.compare(token, requirement)
