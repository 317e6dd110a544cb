"""How large tokens can become, and with which keys they can be made at all."""

from functools import lru_cache

from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.domain.kinds import AccessFormat, Platform, TokenKind, TokenScheme
from token_service.domain.ports import AccessTokens
from token_service.domain.sessions.exchange import own_audiences
from tokenservice.core import Facts
from tokenservice.core.facts import ACR_LEVELS, AMR_METHODS
from tokenservice.core.limits import (
    COOKIE_TOKEN_LENGTH,
    MAX_DEVICE_ID_LENGTH,
    MAX_ROLE_LENGTH,
    MAX_TOKEN_LENGTH,
    MAX_USER_ROLES,
    THUMBPRINT_LENGTH,
)
from tokenservice.core.tokens.claim_values import MAX_REVISION, MAX_TIME

_ROLES = tuple(f"{number:02d}".ljust(MAX_ROLE_LENGTH, "r") for number in range(MAX_USER_ROLES))
_UUID = "00000000-0000-4000-8000-000000000000"
_CLIENT_ID = "c" * 64


class TokenLimits:
    """What the tokens of a policy come to at most, whoever they are for."""

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens
        # The same few policies come with every exchange.
        self._longest_jwt = lru_cache(maxsize=1024)(self._measure)

    def require(self, policy: ClientPolicy, path: str = "policy") -> None:
        """Raise FIELD_INVALID, with field paths below `path`, for a policy whose tokens could not
        be made: its algorithm has no key that signs, or the largest would be too large."""
        longest = self.longest_if_any(policy)
        if not longest:
            raise invalid_field(
                f"{path}.signing_algorithm", "this installation has no key that signs with it"
            )
        if longest > MAX_TOKEN_LENGTH:
            raise invalid_field(
                f"{path}.scopes",
                f"with all of them a token could have {longest} characters, and at most"
                f" {MAX_TOKEN_LENGTH} are possible",
            )

    def longest_if_any(self, policy: ClientPolicy) -> int:
        """As `longest`; 0 where no token can be made, for want of a key."""
        try:
            return self.longest(policy)
        except TokenServiceError as error:
            if error.reason is not Reason.KEY_STATE:
                raise
            return 0

    def longest(self, policy: ClientPolicy) -> int:
        """Characters of the longest access or rolling token. Raises KEY_STATE."""
        longest = self.longest_jwt(policy)
        opaque = policy.access_format is AccessFormat.OPAQUE
        if opaque and policy.scheme is not TokenScheme.ROLLING:
            return self._tokens.sealer().length
        return longest

    def longest_jwt(self, policy: ClientPolicy) -> int:
        """The same, were they JWTs in any case. Raises KEY_STATE."""
        algorithm = policy.signing_algorithm
        self._tokens.signer(algorithm)  # what was measured once says nothing of today's keys
        return self._longest_jwt(own_audiences(policy), policy.scopes, algorithm)

    def exceeds_cookie(self, policy: ClientPolicy) -> bool:
        """Whether browsers may be given a token that they do not keep in a cookie."""
        longest = self.longest_if_any(policy)
        return Platform.WEB in policy.platforms and longest > COOKIE_TOKEN_LENGTH

    def _measure(self, audiences: tuple[str, ...], scopes: frozenset[str], algorithm: str) -> int:
        largest = Facts(
            kind=TokenKind.ROLLING,  # its `xt` makes it the larger of the two kinds
            subject=_CLIENT_ID,
            client_id=_CLIENT_ID,
            session_id=_UUID,
            device_id='"' * MAX_DEVICE_ID_LENGTH,  # each takes two characters
            audience=max(audiences, key=len),
            scopes=scopes,
            roles=_ROLES,
            issued_at=MAX_TIME,
            expires_at=MAX_TIME,
            auth_time=MAX_TIME,
            acr=max(ACR_LEVELS, key=len),
            amr=AMR_METHODS,
            token_id=_UUID,
            key_id="",
            rev=MAX_REVISION,
            confirmation=bytes(THUMBPRINT_LENGTH),
        )
        return self._tokens.signer(algorithm).length(largest)
