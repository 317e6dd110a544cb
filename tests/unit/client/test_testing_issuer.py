"""The testing kit: its tokens are judged as a server's are."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.waiting import PATIENCE
from tokenservice import Source
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.sync_validator import SyncAssembledValidator
from tokenservice.core import TokenKind, Verdict
from tokenservice.testing import Issuer

pytest_plugins = ["tokenservice.testing.pytest_plugin"]

SESSION = "0c9d8c1e-6a55-4a3c-9d5a-3c1a53b0b6f1"


async def judged(validator: AssembledValidator, token: str, **demanded: Any) -> str:
    decision = await validator.validate(token, **{"audience": "app", **demanded})
    return decision.verdict.name if decision.answered else decision.reason


async def test_a_token_says_what_was_asked_for(
    token_issuer: Issuer, token_validator: AssembledValidator
) -> None:
    token = token_issuer.token(
        subject="somebody",
        scopes=["b", "a"],
        audience="orders",
        expires_in=timedelta(minutes=1),
        auth_time=token_issuer.now() - timedelta(seconds=7),
        acr="aal2",
        amr=["pwd", "otp"],
        roles=["sales"],
        client_id="shop",
        session_id=SESSION,
        device_id="phone",
    )
    decision = await token_validator.validate(token, audience="orders", scopes=["a", "b"])
    assert decision.source is Source.LOCAL
    principal = decision.principal
    assert principal is not None
    assert (principal.subject, principal.client_id, principal.session_id, principal.device_id) == (
        "somebody",
        "shop",
        SESSION,
        "phone",
    )
    assert principal.scopes == {"a", "b"}
    assert principal.roles == ("sales",)
    assert (principal.acr, principal.amr) == ("aal2", ("pwd", "otp"))
    assert principal.expires_at - principal.issued_at == timedelta(minutes=1)
    assert principal.issued_at - principal.auth_time in (timedelta(seconds=7), timedelta(seconds=8))
    assert principal.kind is TokenKind.ACCESS


async def test_verdicts(token_issuer: Issuer, token_validator: AssembledValidator) -> None:
    token = token_issuer.token(scopes=["a"])
    assert await judged(token_validator, token) == "ACTIVE"
    assert await judged(token_validator, token, audience="other") == "WRONG_AUDIENCE"
    assert await judged(token_validator, token, scopes=["b"]) == "INSUFFICIENT_SCOPE"
    assert await judged(token_validator, token, acr="aal2") == "STEP_UP_REQUIRED"
    assert await judged(token_validator, "nonsense") == "MALFORMED"
    assert await judged(token_validator, Issuer().token()) == "UNKNOWN"
    assert await judged(token_validator, token_issuer.token(rolling=True)) == "ACTIVE"
    gone = token_issuer.token(expires_in=timedelta(seconds=-1))
    assert await judged(token_validator, gone) == "EXPIRED"
    bound = token_issuer.token(confirmation=b"c" * 32)
    assert await judged(token_validator, bound) == "BINDING_MISMATCH"
    assert await judged(token_validator, bound, confirmation=b"c" * 32) == "ACTIVE"
    token_issuer.advance(timedelta(minutes=4, seconds=58))
    lately = timedelta(minutes=1)
    assert await judged(token_validator, token, max_auth_age=lately) == "STEP_UP_REQUIRED"
    assert await judged(token_validator, token) == "ACTIVE"
    token_issuer.advance(timedelta(seconds=3))
    assert await judged(token_validator, token) == "EXPIRED"


@pytest.mark.parametrize(
    ("target", "others"),
    [
        (lambda token: {"token": token}, {}),
        (lambda _: {"session_id": SESSION}, {}),
        (lambda _: {"subject": "s"}, {"subject": "t"}),
        (lambda _: {"subject": "s", "device_id": "d"}, {"device_id": "e"}),
        (lambda _: {"client_id": "c"}, {"client_id": "e"}),
        (lambda _: {"everything": True}, None),
    ],
)
async def test_revocation(
    token_issuer: Issuer,
    token_validator: AssembledValidator,
    target: Callable[[str], dict[str, Any]],
    others: dict[str, Any] | None,
) -> None:
    said: dict[str, Any] = {"subject": "s", "device_id": "d", "client_id": "c"}
    token = token_issuer.token(**said, session_id=SESSION)
    other = None if others is None else token_issuer.token(**{**said, **others})
    assert await judged(token_validator, token) == "ACTIVE"
    revision = token_issuer.revoke(**target(token))
    assert revision == token_validator.revision == 1
    assert await judged(token_validator, token, min_revision=revision) == "REVOKED"
    assert await judged(token_issuer.validator(), token) == "REVOKED"
    if other is not None:
        assert await judged(token_validator, other) == "ACTIVE"
    later = token_issuer.token(**said)
    assert await judged(token_validator, later) == "ACTIVE"
    token_issuer.advance(timedelta(hours=1))
    assert await judged(token_validator, token_issuer.token(**said)) == "ACTIVE"


async def test_a_rolling_token_goes_with_its_session(
    token_issuer: Issuer, token_validator: AssembledValidator
) -> None:
    rolling = token_issuer.token(rolling=True, session_id=SESSION)
    sibling = token_issuer.token(session_id=SESSION)
    token_issuer.revoke(token=rolling)
    assert await judged(token_validator, sibling) == "REVOKED"


async def test_an_issuer_out_of_reach(
    token_issuer: Issuer, token_validator: AssembledValidator
) -> None:
    token, other = token_issuer.token(), token_issuer.token()
    with token_issuer.unreachable():
        token_issuer.revoke(token=token)
        token_issuer.advance(timedelta(seconds=1))
        decision = await token_validator.validate(token, audience="app")
        assert (decision.http_status, decision.answered) == (503, False)
        risky = await token_validator.validate(token, audience="app", on_stale="allow_until_expiry")
        assert risky.active, "nobody has heard of the revocation"
    assert await judged(token_validator, token) == "REVOKED"
    assert await judged(token_validator, other) == "ACTIVE"


def test_threads(token_issuer: Issuer, sync_token_validator: SyncAssembledValidator) -> None:
    token = token_issuer.token()
    with sync_token_validator as validator:
        assert validator.validate(token, audience="app").active
        token_issuer.revoke(token=token)
        assert validator.validate(token, audience="app").verdict is Verdict.REVOKED
        with token_issuer.unreachable():
            assert validator.validate(token, audience="app").http_status == 503


async def test_as_a_context(token_issuer: Issuer) -> None:
    async with token_issuer.validator() as validator:
        assert await validator.wait_ready(timedelta(seconds=PATIENCE))
        assert validator.fresh
        assert await judged(validator, token_issuer.token()) == "ACTIVE"


def test_what_cannot_be(token_issuer: Issuer) -> None:
    with pytest.raises(TypeError):
        token_issuer.token(scopes="orders.read")
    for bad in (
        {"scopes": ["a b"]},
        {"session_id": "x"},
        {"confirmation": b"x"},
        {"amr": ["p"] * 2},
    ):
        with pytest.raises(ValueError, match=r"."):
            token_issuer.token(**bad)
    with pytest.raises(ValueError, match="one way"):
        token_issuer.advance(timedelta(seconds=-1))
    token = token_issuer.token()
    bad_revocations: list[dict[str, Any]] = [
        {},
        {"token": token, "subject": "s"},
        {"device_id": "d"},
        {"everything": True, "subject": "s"},
        {"token": "nonsense"},
        {"token": Issuer(issuer="https://other.test").token()},
    ]
    for bad in bad_revocations:
        with pytest.raises(ValueError, match=r"."):
            token_issuer.revoke(**bad)
    assert token_issuer.revision == 0
