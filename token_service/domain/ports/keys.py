"""Keys: where their records are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from token_service.domain.audit import AuditEvent
from token_service.domain.keys.key import Key, KeyChange, PepperUse


class KeyStore(Protocol):
    """Keys in Postgres; every change bumps the version that nodes follow."""

    async def all(self) -> tuple[Key, ...]: ...

    async def insert(self, key: Key, audit: AuditEvent) -> None: ...

    async def bootstrap(self, keys: Sequence[Key], audit: AuditEvent) -> None:
        """Insert `keys` unless there is a live key of their purpose and algorithm already;
        safe when two nodes start at once."""
        ...

    async def change(self, changes: Sequence[KeyChange], audit: AuditEvent) -> int:
        """Apply those whose state is still as decided; how many were."""
        ...

    async def pepper_uses(self, now: datetime) -> tuple[PepperUse, ...]:
        """What depends on each pepper that is RETIRING."""
        ...
