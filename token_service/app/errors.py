"""Why a server cannot start, or cannot go on."""


class StartupError(Exception):
    """The server cannot start; the text names the setting to look at, and never its value."""


class WorkersFailedError(Exception):
    """The workers end faster than it makes sense to replace them; the text is for people."""
