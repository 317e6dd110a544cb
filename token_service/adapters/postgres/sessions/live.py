"""What makes a session live, in SQL: `domain.sessions.exchange.require_live` for statements."""

from token_service.domain.kinds import ClientState, KeyState

LIVE_FROM = "trust_head h, clients c, keys k"
"""The tables that `live` needs beside `sessions s`; VIEW_JOINS has them too."""


def live(now: str, *, of_user: str = "") -> str:
    """That `s` can be used, given the parameter of the time. `of_user` is what more is demanded of
    a user's row `u`, where the session has a user.

    The rows of the user and of the device are looked up and not joined, so that an UPDATE of `s`
    can have this as its condition. It is null where the mint key is gone.
    """
    more = f" AND {of_user}" if of_user else ""
    return f"""{live_row(now)}
      AND c.client_id = s.client_id AND c.state = {ClientState.ACTIVE}
      AND k.kid = s.mint_kid AND k.state <> {KeyState.COMPROMISED}
      AND s.rev >= h.valid_rev
      AND s.rev >= c.valid_rev
      AND NOT EXISTS (
          SELECT FROM revoked_devices d
          WHERE d.subject = COALESCE(s.user_id::text, s.client_id)
            AND d.device_id = s.device_id AND s.rev < d.valid_rev)
      AND CASE WHEN s.user_id IS NULL THEN s.rev >= c.own_valid_rev
          ELSE EXISTS (
              SELECT FROM users u
              WHERE u.user_id = s.user_id AND u.disabled_at IS NULL
                AND s.rev >= u.valid_rev{more}) END"""  # noqa: S608 - constants


def live_row(now: str) -> str:
    """What of that the row `s` itself says."""
    return f"s.revoked_at IS NULL AND s.idle_expires_at > {now} AND s.absolute_expires_at > {now}"
