"""The calls of TokenService, with plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice import _messages as messages
from tokenservice._sessions.exchange_ids import REPLAY_WITHIN, ExchangeIds
from tokenservice._transport import calls
from tokenservice._values import Check, Revoked
from tokenservice.core import Platform, RevocationReason
from tokenservice.core.limits import EXCHANGE_ID_LENGTH, MAX_QUESTIONS
from tokenservice.v1 import token_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta

    from tokenservice._decisions.decision import Decision
    from tokenservice._transport.calls import Calls
    from tokenservice._values import Device, TokenSet


class TokenCalls:
    """Obtains, exchanges, checks and revokes tokens; see :class:`tokenservice.TokenClient`.

    Audiences and scopes left out mean all that are allowed; ``confirmation`` is the SHA-256
    thumbprint (32 bytes) of a client certificate, b"" for none; ``timeout``
    is for all attempts together. Everything raises TokenServiceError.
    """

    def __init__(self, calls: Calls, exchange_ids: ExchangeIds) -> None:
        self._calls = calls
        self._exchange_ids = exchange_ids

    async def login_with_password(
        self,
        username: str,
        password: str,
        *,
        platform: Platform,
        otp_code: str = "",
        client_id: str = "",
        audiences: Collection[str] = (),
        scopes: Collection[str] = (),
        device: Device | None = None,
        confirmation: bytes = b"",
        timeout: timedelta | None = None,
    ) -> TokenSet:
        """Log a user in and start a session, of the caller or of ``client_id``.

        Sent once, unless it certainly did not arrive: after Unreachable there may be a session
        that nobody holds the token of, and it ends by itself. Reasons include
        CREDENTIALS_INVALID and ACCOUNT_LOCKED (``retry_after`` says for how long). Users have no
        second factors yet: any ``otp_code`` is CREDENTIALS_INVALID.
        """
        with messages.sendable():
            request = pb.IssueRequest(
                password=_password(username, password, otp_code),
                client_id=client_id,
                platform=messages.number(platform),
                audiences=messages.names(audiences),
                scopes=messages.names(scopes),
                device=messages.device_message(device),
                confirmation=confirmation,
            )
        return await self._issue(request, timeout)

    async def login_as_client(
        self,
        *,
        audiences: Collection[str] = (),
        scopes: Collection[str] = (),
        device: Device | None = None,
        confirmation: bytes = b"",
        timeout: timedelta | None = None,
    ) -> TokenSet:
        """Log the calling client itself in, by the credential of the connection.

        Sent once, as :meth:`login_with_password`. A client that calls with an access token cannot.
        """
        with messages.sendable():
            request = pb.IssueRequest(
                client=pb.ClientCredential(),
                platform=messages.number(Platform.API),
                audiences=messages.names(audiences),
                scopes=messages.names(scopes),
                device=messages.device_message(device),
                confirmation=confirmation,
            )
        return await self._issue(request, timeout)

    async def exchange(
        self,
        token: str,
        *,
        exchange_id: bytes | None = None,
        replay_within: timedelta | None = None,
        audiences: Collection[str] = (),
        scopes: Collection[str] = (),
        device: Device | None = None,
        confirmation: bytes = b"",
        timeout: timedelta | None = None,
    ) -> TokenSet:
        """Exchange a session token (or a rolling token) for its successor and access tokens.

        Calls with one exchange id, 16 bytes, are one exchange: each gets the same successor, with
        the access tokens that it asks for. Without ``exchange_id`` it is what ``exchange_ids`` of
        this client makes, and the successor can be had again for 60 seconds; with one, for as long
        as the client's policy says. ``replay_within`` says otherwise. To retry after
        Unreachable, repeat the id: with another one the token counts as stolen and the session ends
        (TOKEN_REUSED). :class:`tokenservice.StoredSession` takes care of that.

        TOKEN_SUPERSEDED: :meth:`reauthenticate` with the same token was first. Nothing is lost:
        take the successor from where that call put it, and repeat with it.
        """
        if exchange_id is None and replay_within is None:
            replay_within = REPLAY_WITHIN
        exchange_id = self._exchange_id(token, exchange_id)
        with messages.sendable():
            request = pb.ExchangeRequest(
                token=messages.presented(token),
                exchange_id=exchange_id,
                audiences=messages.names(audiences),
                scopes=messages.names(scopes),
                device=messages.device_message(device),
                confirmation=confirmation,
                replay_within=messages.duration(replay_within, "replay_within"),
            )
        reply = await self._calls.call(
            lambda stubs: stubs.tokens.Exchange, request, calls.EXCHANGE, timeout
        )
        return messages.token_set(reply.tokens, replayed=reply.replayed)

    async def reauthenticate(
        self,
        token: str,
        username: str,
        password: str,
        *,
        otp_code: str = "",
        exchange_id: bytes | None = None,
        audiences: Collection[str] = (),
        scopes: Collection[str] = (),
        device: Device | None = None,
        confirmation: bytes = b"",
        timeout: timedelta | None = None,
    ) -> TokenSet:
        """Exchange together with a fresh credential of the same user, after a step-up challenge.

        Retried as :meth:`exchange` is. A wrong password, or any ``otp_code`` while users have no
        second factors (CREDENTIALS_INVALID), leaves the token as it was. TOKEN_SUPERSEDED: an
        exchange was first, as of a background tab; repeat with the successor that it was given.
        """
        exchange_id = self._exchange_id(token, exchange_id)
        with messages.sendable():
            request = pb.ReauthenticateRequest(
                token=messages.presented(token),
                password=_password(username, password, otp_code),
                exchange_id=exchange_id,
                audiences=messages.names(audiences),
                scopes=messages.names(scopes),
                device=messages.device_message(device),
                confirmation=confirmation,
            )
        reply = await self._calls.call(
            lambda stubs: stubs.tokens.Reauthenticate, request, calls.REAUTHENTICATE, timeout
        )
        return messages.token_set(reply.tokens, replayed=reply.replayed)

    async def validate(
        self,
        token: str,
        *,
        audience: str,
        scopes: Collection[str] = (),
        max_auth_age: timedelta | None = None,
        acr: str = "",
        confirmation: bytes = b"",
        min_revision: int = 0,
        timeout: timedelta | None = None,
    ) -> Decision:
        """Ask the service whether a token may do what a route demands, now.

        A token that is no good is an answer, whatever it holds. An error means that the question
        was not answered: refuse it. :class:`~tokenservice.Validator` answers without a call.
        """
        check = Check(
            token=token,
            audience=audience,
            scopes=scopes,
            max_auth_age=max_auth_age,
            acr=acr,
            confirmation=confirmation,
            min_revision=min_revision,
        )
        with messages.sendable():
            request = messages.check_message(check)
        reply = await self._calls.call(
            lambda stubs: stubs.tokens.Validate, request, calls.VALIDATE, timeout
        )
        return messages.decision(reply)

    async def batch_validate(
        self, checks: Sequence[Check], *, timeout: timedelta | None = None
    ) -> tuple[Decision, ...]:
        """Ask about several tokens, in order; more than ``MAX_QUESTIONS`` take several calls."""
        with messages.sendable():
            requests = [messages.check_message(check) for check in checks]
        decisions: list[Decision] = []
        for start in range(0, len(requests), MAX_QUESTIONS):
            reply = await self._calls.call(
                lambda stubs: stubs.tokens.BatchValidate,
                pb.BatchValidateRequest(requests=requests[start : start + MAX_QUESTIONS]),
                calls.VALIDATE,
                timeout,
            )
            decisions.extend(map(messages.decision, reply.responses))
        return tuple(decisions)

    async def revoke(
        self,
        *,
        token: str | None = None,
        session_id: str | None = None,
        subject: str | None = None,
        device_id: str | None = None,
        client_id: str | None = None,
        key_id: str | None = None,
        everything: bool = False,
        reason: RevocationReason = RevocationReason.UNSPECIFIED,
        note: str = "",
        timeout: timedelta | None = None,
    ) -> Revoked:
        """Revoke exactly one thing: a token (with its session, unless it is an access token), a
        session, all of a ``subject`` or of its ``device_id``, of a client, of a key, or everything.

        When this returns, the revocation is durable. A token that is not known revokes nothing
        and is no error (RFC 7009). Tokens and sessions are retried; the rest is sent once, for
        logins that come in between would be revoked as well. Raises ValueError for no target or
        several.
        """
        given = (token, session_id, subject, client_id, key_id, everything or None)
        if sum(one is not None for one in given) != 1 or (device_id is not None and not subject):
            raise ValueError("exactly one target is due; a device_id goes with its subject")
        with messages.sendable():
            request = pb.RevokeRequest(reason=messages.number(reason), note=note)
            if token is not None:  # what no token can look like revokes nothing, as an unknown one
                request.token = token if messages.may_be_token(token) else "-"
            elif session_id is not None:
                request.session_id = session_id
            elif subject is not None and device_id is not None:
                request.subject_device.subject = subject
                request.subject_device.device_id = device_id
            elif subject is not None:
                request.subject = subject
            elif client_id is not None:
                request.client_id = client_id
            elif key_id is not None:
                request.key_id = key_id
            else:
                request.everything.SetInParent()
        one = token is not None or session_id is not None
        effort = calls.REVOKE_ONE if one else calls.REVOKE_MANY
        reply = await self._calls.call(lambda stubs: stubs.tokens.Revoke, request, effort, timeout)
        return Revoked(reply.revision, reply.revoked_sessions)

    async def _issue(self, request: pb.IssueRequest, timeout: timedelta | None) -> TokenSet:
        reply = await self._calls.call(
            lambda stubs: stubs.tokens.Issue, request, calls.LOGIN, timeout
        )
        return messages.token_set(reply.tokens)

    def _exchange_id(self, token: str, given: bytes | None) -> bytes:
        exchange_id = self._exchange_ids(token) if given is None else given
        if len(exchange_id) != EXCHANGE_ID_LENGTH:
            raise ValueError(f"an exchange id has {EXCHANGE_ID_LENGTH} bytes")
        return exchange_id


def _password(username: str, password: str, otp_code: str) -> pb.PasswordCredential:
    return pb.PasswordCredential(username=username, password=password, otp_code=otp_code)
