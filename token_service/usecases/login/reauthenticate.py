"""Reauthenticate: a fresh credential on a live session (step-up, RFC 9470)."""

from dataclasses import dataclass

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Amr, Permission
from token_service.domain.ports import Clock
from token_service.domain.sessions.exchange import Presented, Replay
from token_service.domain.sessions.exchange_fingerprint import Purpose
from token_service.usecases.login.passwords import PasswordCredential, VerifyPassword
from token_service.usecases.sessions.exchange import (
    ExchangeOutcome,
    ExchangeRequest,
    FreshAuthentication,
    SessionRotation,
    keeps_changing,
)
from token_service.usecases.shielding import Shield

_TRIES = 3


@dataclass(frozen=True, slots=True)
class ReauthenticateRequest:
    """The session's current token and the user's credential; the rest as in an exchange."""

    exchange: ExchangeRequest
    password: PasswordCredential


class Reauthenticate:
    """Advances generation, `auth_time`, `acr` and `amr`; nothing else ever moves them.

    The credential is asked for on a replay too. The session is read before the credential is
    checked and written after it: what moves it in between supersedes this call, whoever did it,
    and the session's owner is told to go on with the successor. Raises what Exchange and
    VerifyPassword raise; a wrong credential consumes nothing.
    """

    def __init__(
        self,
        rotation: SessionRotation,
        verify_password: VerifyPassword,
        clock: Clock,
        shield: Shield,
    ) -> None:
        self._rotation = rotation
        self._verify_password = verify_password
        self._clock = clock
        self._shield = shield

    async def __call__(self, caller: Caller, request: ReauthenticateRequest) -> ExchangeOutcome:
        """Step up the session behind `request.exchange.token`."""
        caller.require(Permission.TOKENS_EXCHANGE)
        presented = self._rotation.present(caller, request.exchange, Purpose.REAUTHENTICATE)
        return await self._shield.run(self._reauthenticate(caller, request, presented))

    async def _reauthenticate(
        self, caller: Caller, request: ReauthenticateRequest, presented: Presented
    ) -> ExchangeOutcome:
        was_current = False
        for _ in range(_TRIES):
            view, decision = await self._rotation.decide(caller, presented, was_current=was_current)
            was_current = not isinstance(decision, Replay)
            user_id = view.session.user_id
            if user_id is None:
                raise TokenServiceError(
                    Reason.CREDENTIAL_NOT_ALLOWED, "the session has no user to authenticate"
                )
            verified = await self._verify_password(
                request.password,
                request.exchange.device.ip_address,
                caller,
                due=user_id,
            )
            if isinstance(decision, Replay):
                return ExchangeOutcome(self._rotation.replay(view, decision.grant), True)
            if verified.user.version != view.user_version:
                continue
            fresh = FreshAuthentication(self._clock.now(), acr=1, amr=Amr.PWD)
            tokens = await self._rotation.advance(caller, view, presented, decision.grant, fresh)
            if tokens is not None:
                return ExchangeOutcome(tokens, False)
        raise keeps_changing()
