"""The one error of the embedded stores."""


class EmbeddedError(RuntimeError):
    """An embedded store cannot start or does not answer; the text says why and what to do."""
