"""Who calls: an authenticated client, or nobody for the methods that allow it."""

from dataclasses import dataclass
from datetime import datetime

from token_service.domain.audit import Actor, AuditEvent
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ADMINISTRATIVE, Permission

NO_POLICY = ClientPolicy()


@dataclass(frozen=True, slots=True)
class Caller:
    """The calling client with its policy; `client_id` is empty for an anonymous caller.

    `address` is the peer's network address without its port, `request_id` names the call in logs
    and audit rows. `by_token`: it authenticated with an access token, not with its own credential.
    """

    client_id: str
    policy: ClientPolicy = NO_POLICY
    request_id: str = ""
    address: str = ""
    by_token: bool = False

    def may(self, permission: Permission) -> bool:
        """Whether the caller holds `permission`."""
        return permission in self.policy.permissions

    def require(self, permission: Permission) -> None:
        """Raise PERMISSION_MISSING unless the caller holds `permission`."""
        if not self.may(permission):
            raise TokenServiceError(
                Reason.PERMISSION_MISSING, f"permission {permission.value} is missing"
            )

    def require_own_credential(self) -> None:
        """Raise CREDENTIAL_NOT_ALLOWED for a caller with an access token.

        That lives for minutes, so nothing that lives longer may come of it alone: neither a
        session nor a secret.
        """
        if self.by_token:
            raise TokenServiceError(
                Reason.CREDENTIAL_NOT_ALLOWED, "this needs the client's own credential"
            )

    def require_as_powerful(self, *policies: ClientPolicy) -> None:
        """Raise PERMISSION_MISSING unless the caller holds every administrative permission of
        `policies`: it could otherwise act through whoever has them."""
        held = frozenset[Permission]().union(*(policy.permissions for policy in policies))
        for permission in sorted(held & ADMINISTRATIVE):
            self.require(permission)

    def audit(
        self,
        at: datetime,
        action: str,
        outcome: str = "ok",
        *,
        target: str = "",
        subject: str = "",
        details: str = "",
    ) -> AuditEvent:
        """An audit event of this caller's call."""
        return AuditEvent(
            at=at,
            actor=self.client_id or Actor.ANONYMOUS,
            action=action,
            outcome=outcome,
            target=target,
            subject=subject,
            request_id=self.request_id,
            address=self.address,
            details=details,
        )
