"""The rules that end something: revocations, and changes of users and keys."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.e2e.model_driver import expected
from tests.e2e.model_machine import MachineBase, refuse_unless
from tests.e2e.model_records import ADMIN, GATEWAY, PASSWORD_AGE
from tests.e2e.model_strategies import ages, chances, clients, purposes, role_sets
from tokenservice.core import TrustEntryKind
from tokenservice.v1 import session_service_pb2 as sessions_pb
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import user_service_pb2 as users_pb


class Revocations(MachineBase):
    """Rules of the machine."""

    # --- revocation ---

    @rule(age=ages, caller=st.sampled_from(["", "", "", "demo-web", GATEWAY, ADMIN]))
    def revoke_token(self, age: int, caller: str) -> None:
        token = self.any_token(age)
        by = caller or self.owner(token)
        self.revoke(by, lambda: self.model.revoke_token(by, token), token=token)

    @rule(age=ages, caller=st.sampled_from(["", "", "demo-mobile", ADMIN]))
    def revoke_session(self, age: int, caller: str) -> None:
        session = self.session(age)
        by = caller or session.client.client_id

        def change() -> int:
            refuse_unless(not session.gone, "SESSION_NOT_FOUND")
            refuse_unless(by in (ADMIN, session.client.client_id), "CLIENT_MISMATCH")
            return self.model.revoke_session(session)

        self.revoke(by, change, session_id=session.session_id)

    @rule(age=ages, other=ages)
    def sign_out_a_session(self, age: int, other: int) -> None:
        token, session = self.credential_token(age), self.session(other)
        by = self.owner(token)

        def change() -> int:
            refuse_unless(not session.gone, "SESSION_NOT_FOUND")
            if by != session.client.client_id:
                same = self.model.current(by, token).subject == session.subject
                refuse_unless(same, "SESSION_NOT_FOUND")
            return self.model.revoke_session(session)

        request = sessions_pb.RevokeSessionRequest(
            session_id=session.session_id, session_token=token
        )
        got = self.driver.ask(by, lambda api: api.sessions.RevokeSession, request)
        self.check_revoked(expected(change), got)

    @rule(age=ages, caller=st.sampled_from(["", "", "", "", "demo-web"]))
    def sign_out_the_others(self, age: int, caller: str) -> None:
        token = self.credential_token(age)
        by = caller or self.owner(token)

        def change() -> int:
            keep = self.model.current(by, token)
            others = [one for one in self.model.live(keep.subject) if one is not keep]
            return sum(self.model.revoke_session(one) for one in others)

        request = sessions_pb.RevokeOtherSessionsRequest(session_token=token)
        got = self.driver.ask(by, lambda api: api.sessions.RevokeOtherSessions, request)
        self.check_revoked(expected(change), got)

    @rule(caller=st.sampled_from([ADMIN, "demo-web"]), everybody=chances)
    def revoke_subject(self, caller: str, everybody: bool) -> None:
        subject = self.user.user_id if everybody else "demo-api"

        def change() -> int:
            refuse_unless(caller == ADMIN, "PERMISSION_MISSING")
            return self.bulk(TrustEntryKind.SUBJECT, subject)

        self.revoke(caller, change, subject=subject)

    @rule(device=st.sampled_from(["phone", "laptop"]))
    def revoke_device(self, device: str) -> None:
        lost = pb.SubjectDevice(subject=self.user.user_id, device_id=device)
        kind = TrustEntryKind.SUBJECT_DEVICE
        self.revoke(ADMIN, lambda: self.bulk(kind, self.user.user_id, device), subject_device=lost)

    @rule(client=clients, caller=st.sampled_from(["", GATEWAY, GATEWAY, ADMIN]))
    def revoke_client(self, client: str, caller: str) -> None:
        by = caller or client

        def change() -> int:
            refuse_unless(by in (ADMIN, client), "PERMISSION_MISSING")
            return self.bulk(TrustEntryKind.CLIENT, client)

        self.revoke(by, change, client_id=client)

    @rule(chance=chances, again=chances)
    def revoke_everything(self, chance: bool, again: bool) -> None:
        if chance and again:
            self.revoke(
                ADMIN,
                lambda: self.bulk(TrustEntryKind.EVERYTHING),
                everything=pb.RevokeEverything(),
            )

    # --- users and keys ---

    @rule(roles=role_sets)
    def set_roles(self, roles: frozenset[str]) -> None:
        request = users_pb.SetRolesRequest(user_id=self.user.user_id, roles=sorted(roles))
        got = self.admin(lambda api: api.users.SetRoles, request)
        lost = self.user.roles - roles
        self.user.roles = roles
        if lost:
            self.narrow()
        self.check_revoked(None, got)
        self.validate_all()

    @rule(chance=chances)
    def disable_user(self, chance: bool) -> None:
        if not chance:
            return
        request = users_pb.DisableUserRequest(user_id=self.user.user_id)
        got = self.admin(lambda api: api.users.DisableUser, request)
        if not self.user.disabled:
            self.bulk(TrustEntryKind.SUBJECT, self.user.user_id)
            self.user.disabled = True
        self.check_revoked(None, got)

    @rule()
    def enable_user(self) -> None:
        request = users_pb.EnableUserRequest(user_id=self.user.user_id)
        self.admin(lambda api: api.users.EnableUser, request)
        self.user.disabled = False

    @rule(age=ages, by_admin=chances)
    def set_password(self, age: int, by_admin: bool) -> None:
        token, password = self.live_token(age), self.new_password()
        request = users_pb.SetPasswordRequest(new_password=password)
        caller = ADMIN if by_admin else self.owner(token)
        if by_admin:
            request.user_id = self.user.user_id
        else:
            request.session_token = token

        def change() -> None:
            keep = None if by_admin else self.model.current(caller, token)
            if keep is not None:
                refuse_unless(keep.user is not None, "CREDENTIAL_NOT_ALLOWED")
                young = self.model.now - keep.auth_time <= PASSWORD_AGE
                refuse_unless(young, "STEP_UP_REQUIRED")
            self.bulk(TrustEntryKind.SUBJECT, self.user.user_id)
            self.user.password = password
            if keep is not None:
                keep.rev = self.model.head

        got = self.driver.ask(caller, lambda api: api.users.SetPassword, request)
        self.check_revoked(expected(change), got)

    @rule(purpose=purposes)
    def rotate_key(self, purpose: str) -> None:
        self.driver.rotate_key(purpose)

    @rule(purpose=purposes, chance=chances, age=st.integers(0, 2))
    def compromise_key(self, purpose: str, chance: bool, age: int) -> None:
        if chance:
            self.driver.compromise_key(purpose, age)
            self.revision = self.model.head
