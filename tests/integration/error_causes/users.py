"""Causes of the errors of UserService."""

from typing import Any

from tests.integration.error_causes.bad_tokens import presenting
from tests.integration.error_causes.scene import ADMIN, NO_ID, PASSWORD, Cause, Scene
from tokenservice.v1 import user_service_pb2 as pb

NO_ROLE = ["no-such-role"]


def _asking(method: str, request: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        return await scene.call(ADMIN, "users", method, request)

    return cause


async def _create_again(scene: Scene) -> object:
    request = pb.CreateUserRequest(username=scene.world.username, password=PASSWORD)
    return await scene.call(ADMIN, "users", "CreateUser", request)


async def _set_roles(scene: Scene) -> object:
    user_id, _ = await scene.user()
    request = pb.SetRolesRequest(user_id=user_id, roles=NO_ROLE)
    return await scene.call(ADMIN, "users", "SetRoles", request)


async def _set_password(scene: Scene, token: str) -> object:
    request = pb.SetPasswordRequest(session_token=token, new_password=PASSWORD)
    return await scene.call(await scene.app(), "users", "SetPassword", request)


CAUSES: dict[tuple[str, str], Cause] = {
    ("UserService.CreateUser", "USER_EXISTS"): _create_again,
    ("UserService.CreateUser", "ROLE_NOT_FOUND"): _asking(
        "CreateUser",
        pb.CreateUserRequest(username="somebody", password=PASSWORD, roles=NO_ROLE),
    ),
    **presenting(
        "UserService.SetPassword", _set_password, "CREDENTIAL_NOT_ALLOWED", "STEP_UP_REQUIRED"
    ),
    ("UserService.SetPassword", "USER_NOT_FOUND"): _asking(
        "SetPassword", pb.SetPasswordRequest(user_id=NO_ID, new_password=PASSWORD)
    ),
    ("UserService.SetRoles", "ROLE_NOT_FOUND"): _set_roles,
    **{
        (f"UserService.{method}", "USER_NOT_FOUND"): _asking(method, request)
        for method, request in {
            "DisableUser": pb.DisableUserRequest(user_id=NO_ID),
            "EnableUser": pb.EnableUserRequest(user_id=NO_ID),
            "DeleteUser": pb.DeleteUserRequest(user_id=NO_ID),
            "GetUser": pb.GetUserRequest(user_id=NO_ID),
            "UnlockUser": pb.UnlockUserRequest(user_id=NO_ID),
            "SetRoles": pb.SetRolesRequest(user_id=NO_ID),
        }.items()
    },
}
