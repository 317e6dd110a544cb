"""A clock that tests move by hand."""

from datetime import timedelta

from token_service.adapters.system import AnchoredSystemClock


class ShiftedClock(AnchoredSystemClock):
    """Real time plus a shift: moving it is what waiting would be."""

    def __init__(self, shift: timedelta = timedelta(0)) -> None:
        super().__init__()
        self.shift = shift
        self.unix = self._shifted

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.shift += by

    def _shifted(self) -> float:
        return self.anchor.now() + self.shift.total_seconds()
