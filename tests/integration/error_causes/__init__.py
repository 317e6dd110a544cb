"""What has to be done to get each documented error: one small function each.

`CAUSES` maps (`Service.Method`, reason) to it. It makes one call that is refused; what the call
needs before is made through the API as far as that can be done, else in the database.
"""

from collections.abc import Mapping

from tests.integration.error_causes import (
    clients,
    codes,
    exchanges,
    issuing,
    keyless,
    pairing_ends,
    pairings,
    sessions,
    users,
    validating,
)
from tests.integration.error_causes.scene import Cause

CAUSES: Mapping[tuple[str, str], Cause] = {
    **issuing.CAUSES,
    **exchanges.CAUSES,
    **keyless.CAUSES,
    **validating.CAUSES,
    **sessions.CAUSES,
    **pairings.CAUSES,
    **pairing_ends.CAUSES,
    **clients.CAUSES,
    **users.CAUSES,
    **codes.CAUSES,
}
