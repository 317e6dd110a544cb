"""What the pure core raises. No message ever holds any part of a token."""

from __future__ import annotations


class TokenError(ValueError):
    """A presented token cannot be used; the subclass says which verdict that is."""


class MalformedToken(TokenError):  # noqa: N818 - the name of a verdict
    """The text is not a token in its one canonical form (verdict MALFORMED)."""


class UnknownToken(TokenError):  # noqa: N818 - the name of a verdict
    """The text is well formed but was not issued here (verdict UNKNOWN)."""


class TrustGap(Exception):  # noqa: N818 - a condition, not a fault
    """A trust message does not continue the state held: a snapshot is needed.

    The state is unchanged when this is raised; it goes stale until a snapshot arrives.
    """
