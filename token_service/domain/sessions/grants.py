"""Which audiences and scopes a token gets: requested, cut to what client and user allow."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from token_service.domain.errors import Reason, TokenServiceError


@dataclass(frozen=True, slots=True)
class Grant:
    """What access tokens are made for: one token per audience, each with these scopes."""

    audiences: tuple[str, ...]
    scopes: tuple[str, ...]


def initial_grant(
    audiences: Sequence[str],
    scopes: Sequence[str],
    *,
    client_audiences: Sequence[str],
    client_scopes: AbstractSet[str],
    user_scopes: AbstractSet[str] | None,
) -> Grant:
    """The grant of a new session: requested ∩ client ∩ user's roles.

    An empty request asks for all that the client may have. `user_scopes` is None where no user is
    involved (a client's own session). Raises AUDIENCE_NOT_ALLOWED for an audience outside the
    client's policy and SCOPE_NOT_ALLOWED when scopes were wanted and none is left.
    """
    if not set(audiences) <= set(client_audiences):
        raise TokenServiceError(Reason.AUDIENCE_NOT_ALLOWED, "audience not allowed")
    wanted = set(scopes) or set(client_scopes)
    granted = _allowed(wanted, client_scopes, user_scopes)
    chosen = tuple(dict.fromkeys(audiences)) or tuple(client_audiences)
    if not chosen:
        raise TokenServiceError(Reason.AUDIENCE_NOT_ALLOWED, "the client has no audience")
    return Grant(chosen, granted)


def narrowed_grant(
    audiences: Sequence[str],
    scopes: Sequence[str],
    *,
    session: Grant,
    client_audiences: Iterable[str],
    client_scopes: AbstractSet[str],
    user_scopes: AbstractSet[str] | None,
) -> Grant:
    """The grant of one exchange: the session's, narrowed by the request and by what client and
    roles allow today. It never shrinks the session itself.

    Raises SCOPE_WIDENED / AUDIENCE_NOT_ALLOWED when the request goes beyond the session, and
    SCOPE_NOT_ALLOWED when the session had scopes and none is left.
    """
    if not set(scopes) <= set(session.scopes):
        raise TokenServiceError(Reason.SCOPE_WIDENED, "scopes beyond the session's")
    if not set(audiences) <= set(session.audiences):
        raise TokenServiceError(Reason.AUDIENCE_NOT_ALLOWED, "audience beyond the session's")
    allowed = set(client_audiences)
    wanted = tuple(dict.fromkeys(audiences)) or session.audiences
    chosen = tuple(audience for audience in wanted if audience in allowed)
    if not chosen:
        raise TokenServiceError(Reason.AUDIENCE_NOT_ALLOWED, "no audience is left")
    granted = _allowed(set(scopes) or set(session.scopes), client_scopes, user_scopes)
    return Grant(chosen, granted)


def _allowed(
    wanted: AbstractSet[str], client_scopes: AbstractSet[str], user_scopes: AbstractSet[str] | None
) -> tuple[str, ...]:
    granted = wanted & client_scopes
    if user_scopes is not None:
        granted &= user_scopes
    if wanted and not granted:
        raise TokenServiceError(Reason.SCOPE_NOT_ALLOWED, "none of the scopes is allowed")
    return tuple(sorted(granted))
