"""A local validator that knows one key for certain and one that only the server has."""

from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.hands import HandClock
from tests.support.tokens import ISSUER, NOW, claims, der, header, key, sign
from tests.unit.crypto.builders import access, facts
from tokenservice import Decision, Principal
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._decisions.signatures import Keyring
from tokenservice.core import (
    KeyState,
    ParsedJwt,
    TrustKey,
    TrustState,
    Verdict,
    seal_access,
)

PRIVATE = Ed25519PrivateKey.generate()
OPAQUE_KID = "0a0b0c0d"
KEYS = [
    key(public_key=der(PRIVATE.public_key())),
    TrustKey(OPAQUE_KID, "HS256", b"", server_only=True, state=KeyState.ACTIVE),
]
BOUND = b"c" * 32
OTHER = b"d" * 32


class Counting(Keyring):
    """Counts how often a signature is checked."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0

    def check(self, parsed: ParsedJwt, keys: Any) -> bool:
        self.checks += 1
        return super().check(parsed, keys)


class Here:
    """A local validator with a view of revision 100, and a token."""

    def __init__(self) -> None:
        self.hand = HandClock()
        self.trust = TrustState()
        self.trust.apply_snapshot("epoch", ISSUER, 100, self.hand.reading, KEYS, [])
        self.signatures = Counting()
        self.local = LocalValidator(
            trust=self.trust, clock=self.hand.clock, signatures=self.signatures
        )
        self.token = sign(PRIVATE, header(), claims())

    def decide(self, token: str | None = None, **demands: Any) -> Decision | None:
        token = self.token if token is None else token
        return self.local.try_local(token, demands.pop("audience", "orders"), **demands)

    def verdict(self, token: str | None = None, **demands: Any) -> Verdict | None:
        decision = self.decide(token, **demands)
        return None if decision is None else decision.verdict

    def delta(self, revision: int, *entries: Any) -> None:
        trust = self.trust
        trust.apply_delta("epoch", trust.revision, revision, self.hand.reading, entries)

    def go_stale(self) -> None:
        self.hand.advance(5.001)


def opaque(**changes: Any) -> str:
    fields = {
        "key_id": OPAQUE_KID,
        "issued_at": NOW,
        "expires_at": NOW + 300,
        "rev": 100,
        "audience_index": 0,
    }
    return seal_access(access(**{**fields, **changes}), b"the server's own")


def told(**changes: Any) -> Principal:
    """What the server answers about `opaque()`."""
    known = Principal.of(
        facts(
            issued_at=NOW,
            expires_at=NOW + 300,
            auth_time=1_799_999_000,
            acr="aal2",
            amr=("pwd", "app"),
            token_id="7d1d9a52-06f5-4d4e-9f43-0f7b6f0f3a11.3.0",
        )
    )
    return replace(known, **changes)


def learn(here: Here, token: str, confirmation: bytes = b"", max_age: float = 300.0) -> None:
    requirement = here.local.requirement("orders", confirmation=confirmation)
    here.local.learn(token, requirement, told(), here.hand.reading, max_age)
