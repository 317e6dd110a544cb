"""Roles: named sets of scopes, given to users."""

from collections.abc import Sequence
from dataclasses import dataclass

from token_service.domain.clients.caller import Caller
from token_service.domain.kinds import Permission
from token_service.domain.ports import Clock, Trust, UserStore
from token_service.usecases.paging import page_of
from token_service.usecases.shielding import Shield


@dataclass(frozen=True, slots=True)
class Role:
    """A role with its scopes, sorted."""

    name: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangedRole:
    """The role as it is now, and the trust revision from which the change holds."""

    role: Role
    revision: int


class RoleAdministration:
    """Every method needs admin.users."""

    def __init__(self, users: UserStore, trust: Trust, clock: Clock, shield: Shield) -> None:
        self._users = users
        self._trust = trust
        self._clock = clock
        self._shield = shield

    async def define(
        self, caller: Caller, name: str, scopes: Sequence[str], note: str
    ) -> ChangedRole:
        """Create a role or replace its scopes. Where scopes are lost, access tokens in use are to
        be exchanged."""
        caller.require(Permission.ADMIN_USERS)
        role = Role(name, tuple(sorted(set(scopes))))
        details = f"scopes={' '.join(role.scopes)}" + (f" note={note}" if note else "")
        audit = caller.audit(self._clock.now(), "role.define", target=name, details=details)
        revision = await self._shield.run(self._users.define_role(name, role.scopes, audit))
        await self._trust.reach(revision)
        return ChangedRole(role, revision)

    async def page(
        self, caller: Caller, page_size: int, page_token: str
    ) -> tuple[tuple[Role, ...], str]:
        """Roles in the order of their names, and the next page's token ("" on the last)."""
        caller.require(Permission.ADMIN_USERS)
        found = await self._users.roles()
        roles = [Role(name, tuple(sorted(found[name]))) for name in sorted(found)]
        return page_of(roles, lambda role: role.name, page_size, page_token)
