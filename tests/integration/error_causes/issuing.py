"""Causes of the errors of Issue and Revoke."""

from dataclasses import replace
from typing import Any

import grpc

from tests.integration.error_causes.scene import (
    ADMIN,
    APP,
    NO_ID,
    NO_KEY,
    NOBODY,
    PASSWORD,
    WEB,
    Cause,
    Scene,
)
from tests.support.api import reason_of
from token_service.domain.kinds import Platform
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

ATTEMPTS = 3
"""Failed logins of one account before a lock, on the scene's server."""


def issuing(**request: Any) -> Cause:
    """The app logs the demo user in."""

    async def cause(scene: Scene) -> object:
        return await _issue(scene, await scene.app(), **request)

    return cause


async def _issue(scene: Scene, caller: str, **request: Any) -> object:
    credential = pb.PasswordCredential(username=scene.world.username, password=scene.world.password)
    asked: dict[str, Any] = {"password": credential, "platform": types.PLATFORM_WEB, **request}
    return await scene.call(caller, "tokens", "Issue", pb.IssueRequest(**asked))


async def _wrong_password(scene: Scene) -> object:
    _, name = await scene.user()
    wrong = pb.PasswordCredential(username=name, password="a wrong one")
    return await _issue(scene, await scene.app(), password=wrong)


async def lock(scene: Scene, username: str) -> None:
    """Give wrong passwords until the account is locked for the caller's address."""
    wrong = pb.PasswordCredential(username=username, password="a wrong one")
    for _ in range(ATTEMPTS):
        try:
            await _issue(scene, await scene.app(), password=wrong)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) != "CREDENTIALS_INVALID":
                raise


async def _locked(scene: Scene) -> object:
    _, name = await scene.user()
    await lock(scene, name)
    right = pb.PasswordCredential(username=name, password=PASSWORD)
    return await _issue(scene, await scene.app(), password=right)


def _for_another(which: str) -> Cause:
    """The caller may issue for a client of which no sessions can be had."""

    async def cause(scene: Scene) -> object:
        client_id = {"pending": scene.pending, "disabled": scene.disabled}.get(which)
        other = await client_id() if client_id else NOBODY
        caller = await scene.client(replace(APP, may_issue_for=frozenset({other})))
        return await _issue(scene, caller, client_id=other)

    return cause


async def _no_passwords(scene: Scene) -> object:
    return await _issue(scene, await scene.client(replace(APP, credentials=frozenset())))


async def _no_web(scene: Scene) -> object:
    policy = replace(APP, platforms=frozenset({Platform.API}))
    return await _issue(scene, await scene.client(policy))


def _revoking(caller: str, **target: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        return await scene.api(caller).revoke(**target)

    return cause


async def _revoke_foreign(scene: Scene) -> object:
    return await scene.api(WEB).revoke(token=await scene.live())


CAUSES: dict[tuple[str, str], Cause] = {
    ("TokenService.Issue", "CREDENTIALS_INVALID"): _wrong_password,
    ("TokenService.Issue", "ACCOUNT_LOCKED"): _locked,
    ("TokenService.Issue", "CLIENT_MISMATCH"): issuing(client_id=WEB),
    ("TokenService.Issue", "CLIENT_NOT_FOUND"): _for_another("nobody"),
    ("TokenService.Issue", "CLIENT_NOT_APPROVED"): _for_another("pending"),
    ("TokenService.Issue", "CLIENT_DISABLED"): _for_another("disabled"),
    ("TokenService.Issue", "CREDENTIAL_NOT_ALLOWED"): _no_passwords,
    ("TokenService.Issue", "PLATFORM_NOT_ALLOWED"): _no_web,
    ("TokenService.Issue", "AUDIENCE_NOT_ALLOWED"): issuing(audiences=["payroll"]),
    ("TokenService.Issue", "SCOPE_NOT_ALLOWED"): issuing(scopes=["payroll.read"]),
    ("TokenService.Revoke", "CLIENT_MISMATCH"): _revoke_foreign,
    ("TokenService.Revoke", "SESSION_NOT_FOUND"): _revoking(WEB, session_id=NO_ID),
    ("TokenService.Revoke", "USER_NOT_FOUND"): _revoking(ADMIN, subject=NOBODY),
    ("TokenService.Revoke", "CLIENT_NOT_FOUND"): _revoking(ADMIN, client_id=NOBODY),
    ("TokenService.Revoke", "KEY_NOT_FOUND"): _revoking(ADMIN, key_id=NO_KEY),
}
