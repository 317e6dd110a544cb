"""Bounds of what is sent and of what tokens hold, each in one place.

The server checks what it is given by them, and the strict reader what it reads: so what the one
accepts the other reads.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

MAX_TOKEN_LENGTH: Final = 8192
"""Longest token, in characters (all tokens are ASCII)."""

COOKIE_BYTES: Final = 4096
"""What browsers keep of one cookie: name, value and attributes (RFC 6265, section 6.1)."""
COOKIE_TOKEN_LENGTH: Final = COOKIE_BYTES - 128
"""What a cookie has room for beside its name and its attributes."""

MAX_ISSUER_LENGTH: Final = 255
"""Of issuers, and of subjects and audiences that are read."""
MAX_AUDIENCE_LENGTH: Final = 128
MAX_SCOPE_LENGTH: Final = 64
MAX_DEVICE_ID_LENGTH: Final = 128
MAX_ROLE_LENGTH: Final = 48

MAX_AUDIENCES: Final = 32
"""Audiences of one session or client."""
MAX_SCOPES: Final = 64
"""A session's scopes are one 64-bit mask in an opaque access token."""
MAX_USER_ROLES: Final = 16
"""Roles of one user. The reader of tokens allows more, so that this can grow."""

MAX_QUESTIONS: Final = 256
"""Tokens in one BatchValidate."""
MAX_ACTIVITIES: Final = 1_000
"""Sessions in one ReportActivity."""

MAX_DURATION: Final = timedelta(days=3660)
"""Of durations in requests and settings."""

EXCHANGE_ID_LENGTH: Final = 16
THUMBPRINT_LENGTH: Final = 32
"""Bytes of a SHA-256 certificate thumbprint (RFC 8705, section 3.1)."""

CLIENT_ID_PATTERN: Final = r"[a-z0-9][a-z0-9._-]{0,63}"
ISSUER: Final = re.compile(rf"[!-~]{{1,{MAX_ISSUER_LENGTH}}}")
# Visible ASCII without quotes and backslashes: what needs no escapes, in JSON and in challenges.
AUDIENCE: Final = re.compile(rf"[!#-\[\]-~]{{1,{MAX_AUDIENCE_LENGTH}}}")
SCOPE: Final = re.compile(rf"[!#-\[\]-~]{{1,{MAX_SCOPE_LENGTH}}}")
"""A scope-token (RFC 6749, section 3.3)."""
CLIENT_ID: Final = re.compile(CLIENT_ID_PATTERN)
ROLE: Final = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{MAX_ROLE_LENGTH - 1}}}")
