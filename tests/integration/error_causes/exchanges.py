"""Causes of the errors of Exchange and Reauthenticate."""

from typing import Any

from tests.integration.error_causes.bad_tokens import presenting
from tests.integration.error_causes.issuing import lock
from tests.integration.error_causes.scene import (
    ADMIN,
    PASSWORD,
    Cause,
    Scene,
)
from tests.support.api import exchange_id
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import user_service_pb2 as users

EXCHANGE, REAUTHENTICATE = "TokenService.Exchange", "TokenService.Reauthenticate"


async def _exchange(scene: Scene, token: str, **request: Any) -> object:
    asked: dict[str, Any] = {"exchange_id": exchange_id(), **request}
    message = pb.ExchangeRequest(token=token, **asked)
    return await scene.call(await scene.app(), "tokens", "Exchange", message)


async def _reauthenticate(scene: Scene, token: str, **request: Any) -> object:
    credential = pb.PasswordCredential(username=scene.world.username, password=scene.world.password)
    asked: dict[str, Any] = {"password": credential, "exchange_id": exchange_id(), **request}
    message = pb.ReauthenticateRequest(token=token, **asked)
    return await scene.call(await scene.app(), "tokens", "Reauthenticate", message)


def _asking(call: Any, **request: Any) -> Cause:
    """For what the live session does not have."""

    async def cause(scene: Scene) -> object:
        return await call(scene, await scene.live(), **request)

    return cause


def _reusing(call: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        token = (await scene.login()).session_token
        await _exchange(scene, token)
        return await call(scene, token)

    return cause


def _second(first: Any, second: Any) -> Cause:
    """Two calls of one client for one token, with one id."""

    async def cause(scene: Scene) -> object:
        token, once = (await scene.login()).session_token, exchange_id()
        await first(scene, token, exchange_id=once)
        return await second(scene, token, exchange_id=once)

    return cause


def _losing_roles(call: Any) -> Cause:
    """The user has none of the session's scopes any more."""

    async def cause(scene: Scene) -> object:
        user_id, name = await scene.user()
        made = await scene.api(await scene.app()).login(name, PASSWORD)
        await scene.call(ADMIN, "users", "SetRoles", users.SetRolesRequest(user_id=user_id))
        right = {} if call is _exchange else {"password": _password(name)}
        return await call(scene, made.session_token, **right)

    return cause


def _password(username: str, password: str = PASSWORD) -> pb.PasswordCredential:
    return pb.PasswordCredential(username=username, password=password)


async def _wrong_password(scene: Scene) -> object:
    _, name = await scene.user()
    made = await scene.api(await scene.app()).login(name, PASSWORD)
    wrong = _password(name, "a wrong one")
    return await _reauthenticate(scene, made.session_token, password=wrong)


async def _locked(scene: Scene) -> object:
    _, name = await scene.user()
    made = await scene.api(await scene.app()).login(name, PASSWORD)
    await lock(scene, name)
    return await _reauthenticate(scene, made.session_token, password=_password(name))


CAUSES: dict[tuple[str, str], Cause] = {
    **presenting(EXCHANGE, _exchange),
    (EXCHANGE, "TOKEN_REUSED"): _reusing(_exchange),
    (EXCHANGE, "TOKEN_SUPERSEDED"): _second(_reauthenticate, _exchange),
    (EXCHANGE, "SCOPE_WIDENED"): _asking(_exchange, scopes=["payroll.read"]),
    (EXCHANGE, "AUDIENCE_NOT_ALLOWED"): _asking(_exchange, audiences=["payroll"]),
    (EXCHANGE, "SCOPE_NOT_ALLOWED"): _losing_roles(_exchange),
    **presenting(REAUTHENTICATE, _reauthenticate, "CREDENTIAL_NOT_ALLOWED"),
    (REAUTHENTICATE, "TOKEN_REUSED"): _reusing(_reauthenticate),
    (REAUTHENTICATE, "TOKEN_SUPERSEDED"): _second(_exchange, _reauthenticate),
    (REAUTHENTICATE, "SCOPE_WIDENED"): _asking(_reauthenticate, scopes=["payroll.read"]),
    (REAUTHENTICATE, "AUDIENCE_NOT_ALLOWED"): _asking(_reauthenticate, audiences=["payroll"]),
    (REAUTHENTICATE, "SCOPE_NOT_ALLOWED"): _losing_roles(_reauthenticate),
    (REAUTHENTICATE, "CREDENTIALS_INVALID"): _wrong_password,
    (REAUTHENTICATE, "ACCOUNT_LOCKED"): _locked,
}
