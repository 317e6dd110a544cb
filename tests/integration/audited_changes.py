"""One call for each way in which the API changes what PostgreSQL holds, prepared but not made."""

import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from tests.integration.error_causes.pairing_ends import approved
from tests.integration.error_causes.pairings import start
from tests.integration.error_causes.scene import ADMIN, PASSWORD, Scene
from tests.support.api import reason_of
from tests.support.devices import Pair
from token_service.domain.clients.policy import ClientPolicy
from tokenservice.v1 import client_policy_pb2 as policies
from tokenservice.v1 import client_service_pb2 as clients
from tokenservice.v1 import code_service_pb2 as codes
from tokenservice.v1 import key_service_pb2 as keys
from tokenservice.v1 import session_service_pb2 as sessions
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users

Call = Callable[[], Awaitable[object]]
Prepare = Callable[[Scene], Awaitable[Call]]

DEVICE = types.Device(device_id="phone-1", name="A phone")


async def _calling(
    scene: Scene, service: str, method: str, request: Any, client_id: str = ADMIN
) -> Call:
    return lambda: scene.call(client_id, service, method, request)


# --- tokens and sessions ---


async def _issue(scene: Scene) -> Call:
    api = scene.api(await scene.app())
    return lambda: api.login(scene.world.username, scene.world.password, device=DEVICE)


async def _issue_own(scene: Scene) -> Call:
    request = tokens.IssueRequest(client=tokens.ClientCredential())
    return await _calling(scene, "tokens", "Issue", request, await scene.app())


async def _exchange(scene: Scene) -> Call:
    api, once = scene.api(await scene.app()), os.urandom(16)
    token = (await scene.login()).session_token
    return lambda: api.exchange(token, once)


async def _narrowed_exchange(scene: Scene) -> Call:
    api, once = scene.api(await scene.app()), os.urandom(16)
    token = (await scene.login()).session_token
    return lambda: api.exchange(token, once, scopes=["orders.read"])


async def _reuse(scene: Scene) -> Call:
    """Refused as it should be, and the session is revoked by it."""
    api = scene.api(await scene.app())
    token = (await scene.login()).session_token
    await api.exchange(token, os.urandom(16))

    async def call() -> None:
        try:
            await api.exchange(token, os.urandom(16))
        except grpc.aio.AioRpcError as error:
            if reason_of(error) != "TOKEN_REUSED":
                raise

    return call


async def _reauthenticate(scene: Scene) -> Call:
    credential = tokens.PasswordCredential(
        username=scene.world.username, password=scene.world.password
    )
    request = tokens.ReauthenticateRequest(
        token=(await scene.login()).session_token,
        password=credential,
        exchange_id=os.urandom(16),
    )
    return await _calling(scene, "tokens", "Reauthenticate", request, await scene.app())


def _revoking(find: Callable[[Scene], Awaitable[dict[str, Any]]]) -> Prepare:
    async def prepare(scene: Scene) -> Call:
        request = tokens.RevokeRequest(**await find(scene))
        return await _calling(scene, "tokens", "Revoke", request)

    return prepare


async def _token(scene: Scene) -> dict[str, Any]:
    return {"token": (await scene.login()).session_token}


async def _access_token(scene: Scene) -> dict[str, Any]:
    return {"token": (await scene.login()).access_tokens[0].token}


async def _session(scene: Scene) -> dict[str, Any]:
    return {"session_id": (await scene.login()).session_id}


async def _subject(scene: Scene) -> dict[str, Any]:
    return {"subject": (await scene.user())[0]}


async def _device(scene: Scene) -> dict[str, Any]:
    user_id, _ = await scene.user()
    return {"subject_device": tokens.SubjectDevice(subject=user_id, device_id="phone-1")}


async def _client(scene: Scene) -> dict[str, Any]:
    return {"client_id": await scene.client(ClientPolicy())}


async def _key(scene: Scene) -> dict[str, Any]:
    return {"key_id": await _new_key(scene, types.KEY_PURPOSE_MINT)}


async def _everything(_: Scene) -> dict[str, Any]:
    return {"everything": tokens.RevokeEverything()}


async def _revoke_session(scene: Scene) -> Call:
    request = sessions.RevokeSessionRequest(session_id=(await scene.login()).session_id)
    return await _calling(scene, "sessions", "RevokeSession", request, await scene.app())


async def _revoke_others(scene: Scene) -> Call:
    await scene.login()
    request = sessions.RevokeOtherSessionsRequest(session_token=(await scene.login()).session_token)
    return await _calling(scene, "sessions", "RevokeOtherSessions", request, await scene.app())


# --- pairings ---


async def _scanned(scene: Scene) -> Pair:
    pair = await start(scene)
    await pair.scanned(session_token=(await scene.login()).session_token)
    return pair


async def _scan(scene: Scene) -> Call:
    pair, token, scan_id = await start(scene), (await scene.login()).session_token, os.urandom(16)
    return lambda: pair.scanned(session_token=token, scan_id=scan_id)


async def _approve(scene: Scene) -> Call:
    pair = await start(scene)
    token = (await scene.login()).session_token
    await pair.scanned(session_token=token)
    number = await pair.number()
    return lambda: pair.approve(token, number)


async def _deny(scene: Scene) -> Call:
    return (await _scanned(scene)).deny


async def _cancel(scene: Scene) -> Call:
    return (await _scanned(scene)).cancel


async def _collect(scene: Scene) -> Call:
    pair, once = await approved(scene), os.urandom(16)
    return lambda: pair.collect(once)


# --- codes and keys ---


async def _issue_code(scene: Scene) -> Call:
    request = codes.IssueCodeRequest(
        purpose="test", kind=types.CODE_KIND_COUPON, request_id=secrets.token_hex(8)
    )
    return await _calling(scene, "codes", "IssueCode", request, await scene.app())


async def _redeem_code(scene: Scene) -> Call:
    issued = await (await _issue_code(scene))()
    assert isinstance(issued, codes.IssueCodeResponse)
    request = codes.RedeemCodeRequest(
        purpose="test", code=issued.code, request_id=secrets.token_hex(8)
    )
    return await _calling(scene, "codes", "RedeemCode", request, await scene.app())


async def _revoke_code(scene: Scene) -> Call:
    issued = await (await _issue_code(scene))()
    assert isinstance(issued, codes.IssueCodeResponse)
    request = codes.RevokeCodeRequest(code_id=issued.code_id)
    return await _calling(scene, "codes", "RevokeCode", request, await scene.app())


async def _rotate_key(scene: Scene) -> Call:
    request = keys.RotateKeyRequest(purpose=types.KEY_PURPOSE_OPAQUE)
    return await _calling(scene, "keys", "RotateKey", request)


async def _compromise_key(scene: Scene) -> Call:
    request = keys.CompromiseKeyRequest(kid=await _new_key(scene, types.KEY_PURPOSE_PEPPER))
    return await _calling(scene, "keys", "CompromiseKey", request)


async def _new_key(scene: Scene, purpose: types.KeyPurpose.ValueType) -> str:
    """A key that nothing was made with yet; there is one of a purpose at a time."""
    request = keys.RotateKeyRequest(purpose=purpose)
    made = await scene.call(ADMIN, "keys", "RotateKey", request)
    assert isinstance(made, keys.RotateKeyResponse)
    return made.key.kid


# --- clients ---


async def _register(scene: Scene) -> Call:
    request = clients.RegisterClientRequest(name="Shop", contact="ops@example.com")
    return await _calling(scene, "clients", "RegisterClient", request, await scene.registrant())


def _reviewing(**decision: Any) -> Prepare:
    async def prepare(scene: Scene) -> Call:
        registered = await scene.registered()
        request = clients.ReviewClientRequest(client_id=registered.client_id, **decision)
        return await _calling(scene, "clients", "ReviewClient", request)

    return prepare


async def _collect_credentials(scene: Scene) -> Call:
    made = await scene.approved()
    request = clients.CollectClientCredentialsRequest(
        client_id=made.client_id,
        registration_secret=made.registration_secret,
        request_id=secrets.token_hex(8),
    )
    registrant = await scene.registrant()
    return await _calling(scene, "clients", "CollectClientCredentials", request, registrant)


def _of_client(method: str, request: Any, *, disabled: bool = False) -> Prepare:
    async def prepare(scene: Scene) -> Call:
        client_id = await scene.client(ClientPolicy())
        if disabled:
            disable = clients.DisableClientRequest(client_id=client_id)
            await scene.call(ADMIN, "clients", "DisableClient", disable)
        asked = type(request)()
        asked.CopyFrom(request)
        asked.client_id = client_id
        return await _calling(scene, "clients", method, asked)

    return prepare


# --- users ---


async def _create_user(scene: Scene) -> Call:
    request = users.CreateUserRequest(username=f"u-{secrets.token_hex(6)}", password=PASSWORD)
    return await _calling(scene, "users", "CreateUser", request)


async def _define_role(scene: Scene) -> Call:
    request = users.DefineRoleRequest(role=f"r-{secrets.token_hex(4)}", scopes=["orders.read"])
    return await _calling(scene, "users", "DefineRole", request)


def _of_user(method: str, *, before: str = "", **more: Any) -> Prepare:
    async def prepare(scene: Scene) -> Call:
        user_id, name = await scene.user()
        if before == "DisableUser":
            disable = users.DisableUserRequest(user_id=user_id)
            await scene.call(ADMIN, "users", "DisableUser", disable)
        elif before == "lock":
            await _lock(scene, name)
        request = getattr(users, f"{method}Request")(user_id=user_id, **more)
        return await _calling(scene, "users", method, request)

    return prepare


async def _lock(scene: Scene, name: str) -> None:
    api = scene.api(await scene.app())
    for _ in range(12):
        try:
            await api.login(name, "wrong password")
        except grpc.aio.AioRpcError as error:
            if reason_of(error) == "ACCOUNT_LOCKED":
                return
    raise AssertionError("never locked")


CHANGES: Mapping[str, Prepare] = {
    "TokenService.Issue": _issue,
    "TokenService.Issue to the client itself": _issue_own,
    "TokenService.Exchange": _exchange,
    "TokenService.Exchange with fewer scopes": _narrowed_exchange,
    "TokenService.Exchange of a spent token": _reuse,
    "TokenService.Reauthenticate": _reauthenticate,
    "TokenService.Revoke a token": _revoking(_token),
    "TokenService.Revoke an access token": _revoking(_access_token),
    "TokenService.Revoke a session": _revoking(_session),
    "TokenService.Revoke a subject": _revoking(_subject),
    "TokenService.Revoke a device": _revoking(_device),
    "TokenService.Revoke a client": _revoking(_client),
    "TokenService.Revoke a key": _revoking(_key),
    "SessionService.RevokeSession": _revoke_session,
    "SessionService.RevokeOtherSessions": _revoke_others,
    "PairingService.ScanPairing": _scan,
    "PairingService.ApprovePairing": _approve,
    "PairingService.DenyPairing": _deny,
    "PairingService.CancelPairing": _cancel,
    "PairingService.CollectPairing": _collect,
    "CodeService.IssueCode": _issue_code,
    "CodeService.RedeemCode": _redeem_code,
    "CodeService.RevokeCode": _revoke_code,
    "KeyService.RotateKey": _rotate_key,
    "KeyService.CompromiseKey": _compromise_key,
    "ClientService.RegisterClient": _register,
    "ClientService.ReviewClient approves": _reviewing(approve=clients.ApproveClient()),
    "ClientService.ReviewClient rejects": _reviewing(reject=clients.RejectClient()),
    "ClientService.CollectClientCredentials": _collect_credentials,
    "ClientService.RotateClientSecret": _of_client(
        "RotateClientSecret", clients.RotateClientSecretRequest(request_id="rotation-1")
    ),
    "ClientService.DisableClient": _of_client("DisableClient", clients.DisableClientRequest()),
    "ClientService.EnableClient": _of_client(
        "EnableClient", clients.EnableClientRequest(), disabled=True
    ),
    "ClientService.UpdateClientPolicy": _of_client(
        "UpdateClientPolicy",
        clients.UpdateClientPolicyRequest(policy=policies.ClientPolicy(audiences=["orders"])),
    ),
    "UserService.CreateUser": _create_user,
    "UserService.SetPassword": _of_user("SetPassword", new_password="another good password"),
    "UserService.DisableUser": _of_user("DisableUser"),
    "UserService.EnableUser": _of_user("EnableUser", before="DisableUser"),
    "UserService.DeleteUser": _of_user("DeleteUser"),
    "UserService.UnlockUser": _of_user("UnlockUser", before="lock"),
    "UserService.SetRoles": _of_user("SetRoles", roles=["sales"]),
    "UserService.DefineRole": _define_role,
    "TokenService.Revoke everything": _revoking(_everything),
}
"""By method, and what is special. The last one ends what the others share."""

UNCHANGING = frozenset(
    {
        "TokenService.Validate",
        "TokenService.BatchValidate",
        "TrustService.WatchTrust",
        "TrustService.GetTrust",
        "TrustService.ReportActivity",
        "PairingService.StartPairing",
        "PairingService.WatchPairing",
        "PairingService.GetPairing",
        "SessionService.ListSessions",
        "SessionService.GetSession",
        "ClientService.GetClient",
        "ClientService.ListClients",
        "CodeService.GetCode",
        "KeyService.ListKeys",
        "UserService.GetUser",
        "UserService.ListUsers",
        "UserService.ListRoles",
    }
)
"""Calls that read. Activity changes no state, and a pairing that nobody scanned is in Redis."""
