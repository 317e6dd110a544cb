"""One-time codes on a real database, with a clock of ours."""

from datetime import timedelta
from typing import Any

from tests.support.node import Node
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.codes.decision import CodeWish
from token_service.domain.codes.text import RULES
from token_service.domain.errors import TokenServiceError
from token_service.domain.kinds import CodeKind, Permission
from token_service.usecases.codes.issue import IssuedCode
from token_service.usecases.codes.redeem import RedeemCode, Redeemed, RedeemRequest, WrongCodeLimits

COUPON, INVITATION, VERIFICATION = CodeKind.COUPON, CodeKind.INVITATION, CodeKind.VERIFICATION
PURPOSE = "signup"
ANA = "ana@example.com"
_POLICY = ClientPolicy(permissions=frozenset({Permission.CODES}))
SHOP = Caller("shop", _POLICY, request_id="c1", address="192.0.2.9")
BANK = Caller("bank", _POLICY, request_id="c2", address="192.0.2.8")


def wish(kind: CodeKind = COUPON, **changes: Any) -> CodeWish:
    """A code of this kind, as the API's defaults make it."""
    rules = RULES[kind]
    given: dict[str, Any] = {
        "kind": kind,
        "purpose": PURPOSE,
        "recipient": ANA if kind is VERIFICATION else "",
        "subject": "",
        "max_uses": 1,
        "ttl": rules.ttl,
        "not_before": None,
        "length": rules.length,
        "alphabet": rules.alphabet,
        "payload": b"payload",
        "request_id": "",
    }
    return CodeWish(**{**given, **changes})


class Codes:
    """The use cases on one node."""

    def __init__(self, node: Node, wrong_limits: WrongCodeLimits | None = None) -> None:
        of, parts = node.usecases.codes, node.parts
        self.node = node
        self.store = parts.codes
        self.secrets = parts.code_secrets
        self.issue = of.issue
        self.redeem = of.redeem
        self.administration = of.administration
        if wrong_limits is not None:  # which no setting changes
            self.redeem = RedeemCode(
                store=parts.codes,
                codes=parts.code_secrets,
                secrets=parts.secrets,
                attempts=parts.attempts,
                durability=parts.durability,
                clock=parts.clock,
                limits=wrong_limits,
            )

    async def new(self, kind: CodeKind = COUPON, **changes: Any) -> IssuedCode:
        """A new code of the shop's."""
        return await self.issue(SHOP, wish(kind, **changes))

    async def redeemed(self, code: str, caller: Caller = SHOP, **changes: Any) -> Redeemed:
        """What redeeming brings."""
        request = RedeemRequest(**{"purpose": PURPOSE, "code": code, **changes})
        return await self.redeem(caller, request)

    async def tried(self, code: str, caller: Caller = SHOP, **changes: Any) -> str:
        """`ok`, or why not."""
        try:
            redeemed = await self.redeemed(code, caller, **changes)
        except TokenServiceError as error:
            return error.reason.value
        return "again" if redeemed.replayed else "ok"

    async def guessed(self, code: str, **changes: Any) -> str:
        """The same for a verification code of Ana's."""
        return await self.tried(code, recipient=ANA, **changes)

    def move(self, **by: float) -> None:
        """Let time pass."""
        self.node.clock.move(timedelta(**by))

    async def count(self, table: str) -> int:
        """How many rows there are."""
        row = await self.node.database.fetchrow(f"SELECT count(*) FROM {table}")  # noqa: S608
        assert row is not None
        return int(row[0])


def wrong(code: str) -> str:
    """Another code of the same length."""
    return code[:-1] + ("1" if code[-1] == "0" else "0")
