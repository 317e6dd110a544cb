"""The environment variables of the command line, beside the server's settings."""

SERVER = "TOKEN_SERVICE_SERVER"
CLIENT_ID = "TOKEN_SERVICE_CLIENT_ID"
CLIENT_SECRET = "TOKEN_SERVICE_CLIENT_SECRET"  # noqa: S105 - a variable's name
CLIENT_SECRET_FILE = "TOKEN_SERVICE_CLIENT_SECRET_FILE"  # noqa: S105 - as above
CA_FILE = "TOKEN_SERVICE_CA_FILE"
CERTIFICATE_FILE = "TOKEN_SERVICE_CERTIFICATE_FILE"
KEY_FILE = "TOKEN_SERVICE_KEY_FILE"
TOKEN = "TOKEN_SERVICE_TOKEN"  # noqa: S105 - as above
PASSWORD = "TOKEN_SERVICE_PASSWORD"  # noqa: S105 - as above
CODE = "TOKEN_SERVICE_CODE"
DATA_DIR = "TOKEN_SERVICE_DATA_DIR"
WORKERS = "TOKEN_SERVICE_WORKERS"  # a setting of the server

OF_THE_COMMAND_LINE = frozenset(
    {
        SERVER,
        CLIENT_ID,
        CLIENT_SECRET,
        CLIENT_SECRET_FILE,
        CA_FILE,
        CERTIFICATE_FILE,
        KEY_FILE,
        TOKEN,
        PASSWORD,
        CODE,
        DATA_DIR,
    }
)


def read_by(help_text: str, *names: str) -> str:
    """Return the help text of what these variables set too: each is on a line of its own, where
    no terminal of 80 columns cuts it."""
    return "\n\n".join([help_text, *(f"env: {name}" for name in names)])
