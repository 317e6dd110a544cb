"""Which usernames and passwords are accepted, and the one form in which each is used."""

import unicodedata

from token_service.domain.errors import invalid_field

MAX_USERNAME_CHARACTERS = 128
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_BYTES = 1024

_MAX_FOLDS = 8
"""Two are enough for every single character; a text that needs more is no name."""


def canonical_username(text: str, field: str = "username") -> str:
    """Spell a name as all names are spelled that people take to be the same.

    Compatibility forms and case do not matter (UAX #15, UTR #36).

    Raises FIELD_INVALID unless it has 1 to 128 characters, all printable and none a blank.
    """
    if not 1 <= len(text) <= MAX_USERNAME_CHARACTERS:
        raise invalid_field(field, f"must have 1 to {MAX_USERNAME_CHARACTERS} characters")
    name = folded(text, field)
    # Folding may lengthen: the bound holds for what is stored too.
    if not 1 <= len(name) <= MAX_USERNAME_CHARACTERS:
        raise invalid_field(field, f"must have 1 to {MAX_USERNAME_CHARACTERS} characters")
    if not name.isprintable() or " " in name:
        raise invalid_field(field, "must be printable, without blanks")
    return name


def canonical_password(text: str, field: str = "password") -> str:
    """Bring a presented password into the form that is hashed. Never truncated.

    That form is NFKC (NIST SP 800-63B-4, section 3.1.1.2): what is typed on another keyboard as
    the same text is the same password.

    Raises FIELD_INVALID unless it is 1 to 1024 bytes of UTF-8 without control characters.
    """
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        # "from None": the encoder's exception holds the whole text.
        raise invalid_field(field, "must be Unicode text") from None
    if not 1 <= size <= MAX_PASSWORD_BYTES:
        raise invalid_field(field, f"must have 1 to {MAX_PASSWORD_BYTES} bytes of UTF-8")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise invalid_field(field, "must not have control characters")
    return unicodedata.normalize("NFKC", text)


def new_password(text: str, field: str = "password") -> str:
    """Bring a password that is being set into the form that is hashed.

    Raises FIELD_INVALID as above, and for less than 8 characters (code points).
    """
    password = canonical_password(text, field)
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise invalid_field(field, f"must have at least {MIN_PASSWORD_CHARACTERS} characters")
    return password


def folded(text: str, field: str) -> str:
    """NFKC and case folding until nothing changes: each can undo the other's form.

    Raises FIELD_INVALID for the few texts that never settle.
    """
    for _ in range(_MAX_FOLDS):
        folded = unicodedata.normalize("NFKC", text.casefold())
        if folded == text:
            return folded
        text = folded
    raise invalid_field(field, "has no one spelling")
