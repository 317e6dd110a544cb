"""What the pure core raises. No message ever holds any part of a token."""

from __future__ import annotations


class TokenError(ValueError):
    """A presented token cannot be used; the subclass says which verdict that is."""


class MalformedToken(TokenError):  # noqa: N818 - the name of a verdict
    """The text is not a token in its one canonical form (verdict MALFORMED)."""


class UnknownToken(TokenError):  # noqa: N818 - the name of a verdict
    """The text is well formed but was not issued here (verdict UNKNOWN)."""


class UnknownKey(UnknownToken):
    """The text names a key that nothing is checked with (any more).

    Nothing shows that the text was ever a token; but if ``kid`` is known to be compromised, no
    signature could, and the answer is REVOKED.
    """

    def __init__(self, kid: str) -> None:
        super().__init__("not a key of ours")
        self.kid = kid


class TrustGap(Exception):  # noqa: N818 - a condition, not a fault
    """A trust message does not continue the state held: a snapshot is needed.

    The state is unchanged when this is raised; it goes stale until a snapshot arrives.
    """
