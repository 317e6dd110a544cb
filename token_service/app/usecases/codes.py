"""One-time codes, composed."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.config import Settings
from token_service.usecases.codes.issue import IssueCode, IssueLimits
from token_service.usecases.codes.issued import CodeAdministration
from token_service.usecases.codes.redeem import RedeemCode, WrongCodeLimits


@dataclass(frozen=True, slots=True)
class CodeUseCases:
    """Codes are issued, redeemed, looked at and ended."""

    issue: IssueCode
    redeem: RedeemCode
    administration: CodeAdministration


def codes(settings: Settings, parts: Parts) -> CodeUseCases:
    """Compose them."""
    limits = IssueLimits(
        recipient=settings.codes_per_recipient,
        caller=settings.codes_per_caller,
        window=settings.codes_window,
    )
    return CodeUseCases(
        issue=IssueCode(
            store=parts.codes,
            codes=parts.code_secrets,
            secrets=parts.secrets,
            attempts=parts.attempts,
            clock=parts.clock,
            random=parts.random,
            shield=parts.shield,
            limits=limits,
        ),
        redeem=RedeemCode(
            store=parts.codes,
            codes=parts.code_secrets,
            secrets=parts.secrets,
            attempts=parts.attempts,
            durability=parts.durability,
            clock=parts.clock,
            limits=WrongCodeLimits(),
        ),
        administration=CodeAdministration(
            store=parts.codes, clock=parts.clock, shield=parts.shield
        ),
    )
