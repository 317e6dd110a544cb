"""What the client that issued a code may do with it besides redeeming it: look, and end it."""

from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.codes.decision import Code, unknown
from token_service.domain.kinds import Permission
from token_service.domain.ports import Clock, CodeStore
from token_service.usecases.shielding import Shield


class CodeAdministration:
    """Raises CODE_UNKNOWN, for codes of other clients too."""

    def __init__(self, store: CodeStore, clock: Clock, shield: Shield) -> None:
        self._store = store
        self._clock = clock
        self._shield = shield

    async def get(self, caller: Caller, code_id: UUID) -> Code:
        """The code's record."""
        caller.require(Permission.CODES)
        code = await self._store.get(caller.client_id, code_id)
        if code is None:
            raise unknown()
        return code

    async def revoke(self, caller: Caller, code_id: UUID, note: str) -> Code:
        """End the code: once this has returned, nobody redeems it."""
        caller.require(Permission.CODES)
        now = self._clock.now()
        details = f"note={note}" if note else ""
        audit = caller.audit(now, "code.revoke", target=str(code_id), details=details)
        code = await self._shield.run(self._store.revoke(caller.client_id, code_id, audit))
        return code if code is not None else await self.get(caller, code_id)
