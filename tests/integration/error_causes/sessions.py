"""Causes of the errors of SessionService."""

from tests.integration.error_causes.bad_tokens import presenting
from tests.integration.error_causes.scene import NO_ID, WEB, Cause, Scene
from tokenservice.v1 import session_service_pb2 as pb


async def _list(scene: Scene, token: str) -> object:
    request = pb.ListSessionsRequest(session_token=token)
    return await scene.call(await scene.app(), "sessions", "ListSessions", request)


async def _revoke_others(scene: Scene, token: str) -> object:
    request = pb.RevokeOtherSessionsRequest(session_token=token)
    return await scene.call(await scene.app(), "sessions", "RevokeOtherSessions", request)


async def _revoke_theirs(scene: Scene, token: str) -> object:
    """Another client's session of the user, with the user's word for it."""
    theirs = (await scene.once("theirs", lambda some: some.login(WEB))).session_id
    request = pb.RevokeSessionRequest(session_id=theirs, session_token=token)
    return await scene.call(await scene.app(), "sessions", "RevokeSession", request)


async def _get_nothing(scene: Scene) -> object:
    request = pb.GetSessionRequest(session_id=NO_ID)
    return await scene.call(await scene.app(), "sessions", "GetSession", request)


async def _revoke_nothing(scene: Scene) -> object:
    request = pb.RevokeSessionRequest(session_id=NO_ID)
    return await scene.call(await scene.app(), "sessions", "RevokeSession", request)


CAUSES: dict[tuple[str, str], Cause] = {
    **presenting("SessionService.ListSessions", _list),
    ("SessionService.GetSession", "SESSION_NOT_FOUND"): _get_nothing,
    **presenting("SessionService.RevokeSession", _revoke_theirs),
    ("SessionService.RevokeSession", "SESSION_NOT_FOUND"): _revoke_nothing,
    **presenting("SessionService.RevokeOtherSessions", _revoke_others),
}
