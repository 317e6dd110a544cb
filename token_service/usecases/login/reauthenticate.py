"""Reauthenticate: a fresh credential on a live session (step-up, RFC 9470)."""

from dataclasses import dataclass

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission
from token_service.domain.sessions.exchange import Presented, Replay
from token_service.domain.sessions.exchange_fingerprint import Purpose
from token_service.usecases.login.passwords import PasswordCredential
from token_service.usecases.login.verifiers import LoginAttempt, Verifiers
from token_service.usecases.sessions.exchange import (
    ExchangeOutcome,
    ExchangeRequest,
    SessionRotation,
    keeps_changing,
)
from token_service.usecases.shielding import Shield

_TRIES = 3


@dataclass(frozen=True, slots=True)
class ReauthenticateRequest:
    """The session's current token and the user's credential; the rest as in an exchange."""

    exchange: ExchangeRequest
    credential: PasswordCredential


class Reauthenticate:
    """Advances generation, `auth_time`, `acr` and `amr`; nothing else ever moves them.

    The credential is asked for on a replay too. The session is read before the credential is
    checked and written after it: what moves it in between supersedes this call, whoever did it,
    and the session's owner is told to go on with the successor. Raises what Exchange and
    the verifier raise; a wrong credential consumes nothing.
    """

    def __init__(
        self,
        rotation: SessionRotation,
        verifiers: Verifiers,
        shield: Shield,
    ) -> None:
        self._rotation = rotation
        self._verifiers = verifiers
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
            attempt = LoginAttempt(caller, request.exchange.device.ip_address, due=user_id)
            who = await self._verifiers.of(request.credential)(request.credential, attempt)
            if isinstance(decision, Replay):
                return ExchangeOutcome(await self._rotation.replay(view, decision.grant), True)
            if who.versions.user != view.user_version:
                continue
            tokens = await self._rotation.advance(caller, view, presented, decision.grant, who)
            if tokens is not None:
                return ExchangeOutcome(tokens, False)
        raise keeps_changing()
