"""Which server a command calls, as whom, and how."""
