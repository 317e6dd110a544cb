"""Session tokens that the app is refused with, and the calls that take a session token."""

from collections.abc import Awaitable, Callable, Mapping

from tests.integration.error_causes.scene import WEB, Cause, Scene
from tokenservice.core.tokens.opaque import format_opaque, parse_opaque


async def _malformed(_: Scene) -> str:
    return "tsk_web_nonsense"


async def _unknown(scene: Scene) -> str:
    """Shaped like one of ours, with a MAC that is not."""
    payload = bytearray(parse_opaque(await scene.live()).payload)
    payload[-1] ^= 1
    return format_opaque("web", bytes(payload))


async def _expired(scene: Scene) -> str:
    return await _changed(scene, "idle_expires_at = created_at")


async def _aged(scene: Scene) -> str:
    """Of a live session whose login is old."""
    return await _changed(scene, "auth_time = auth_time - interval '1 day'")


async def _changed(scene: Scene, change: str) -> str:
    made = await scene.login()
    where = "WHERE session_id = $1::text::uuid"
    await scene.sql(f"UPDATE sessions SET {change} {where}", made.session_id)  # noqa: S608
    return made.session_token


async def _revoked(scene: Scene) -> str:
    made = await scene.login()
    await scene.api(await scene.app()).revoke(token=made.session_token)
    return made.session_token


async def _superseded(scene: Scene) -> str:
    made = await scene.login()
    await scene.api(await scene.app()).exchange(made.session_token)
    return made.session_token


async def _bound(scene: Scene) -> str:
    return (await scene.login(confirmation=bytes(32))).session_token


async def _foreign(scene: Scene) -> str:
    return (await scene.login(WEB)).session_token


async def _userless(scene: Scene) -> str:
    return (await scene.own()).session_token


_BAD: Mapping[str, Callable[[Scene], Awaitable[str]]] = {
    "TOKEN_MALFORMED": _malformed,
    "TOKEN_UNKNOWN": _unknown,
    "TOKEN_EXPIRED": _expired,
    "TOKEN_REVOKED": _revoked,
    "TOKEN_SUPERSEDED": _superseded,
    "BINDING_MISMATCH": _bound,
    "CLIENT_MISMATCH": _foreign,
    "CREDENTIAL_NOT_ALLOWED": _userless,
    "STEP_UP_REQUIRED": _aged,
}

OF_A_SESSION = (
    "TOKEN_MALFORMED",
    "TOKEN_UNKNOWN",
    "TOKEN_EXPIRED",
    "TOKEN_REVOKED",
    "TOKEN_SUPERSEDED",
    "BINDING_MISMATCH",
    "CLIENT_MISMATCH",
)
"""What every call that takes a session token may be refused for. To the two that exchange it, a
token that was exchanged before is something else: they have causes of their own for that."""


async def bad_token(scene: Scene, reason: str) -> str:
    """A token with which the app is refused for `reason`, made once for all calls."""
    return await scene.once(f"bad token {reason}", _BAD[reason])


def presenting(
    rpc: str, call: Callable[[Scene, str], Awaitable[object]], *further: str
) -> dict[tuple[str, str], Cause]:
    """Causes of what a session token is refused for, and of the `further` reasons."""

    def cause(reason: str) -> Cause:
        async def refused(scene: Scene) -> object:
            return await call(scene, await bad_token(scene, reason))

        return refused

    return {(rpc, reason): cause(reason) for reason in (*OF_A_SESSION, *further)}
