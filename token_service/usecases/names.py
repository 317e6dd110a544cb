"""Names that people tell each other apart by: nothing in one is invisible or fills in for a blank.

Unicode properties decide and no list of ours: the classes of PRECIS (RFC 8264), which refuse
Default_Ignorable_Code_Point, unassigned and private characters, the general categories, and the
forms of NFKC. Letters of different scripts that look alike (UTS #39) are not told apart.

Names are checked when they are chosen. What is stored already goes on working.
"""

import unicodedata

from precis_i18n import get_profile
from precis_i18n.profile import Profile
from precis_i18n.unicode import UnicodeData

from token_service.domain.errors import invalid_field
from token_service.domain.login.passwords import canonical_username

MAX_NAME_CHARACTERS = 128
MAX_CONTACT_CHARACTERS = 256

_USERNAME = get_profile("UsernameCaseMapped")
_FREE_FORM = get_profile("OpaqueString")
_UNICODE = UnicodeData()
_JOINERS = ("\u200d", "\ufe0f")
"""ZERO WIDTH JOINER and the selector of the coloured form, of which emoji are made (UTS #51)."""


def new_username(text: str, field: str = "username") -> str:
    """The canonical spelling of a user name that is being chosen.

    Besides what canonical_username demands it fits the profile UsernameCaseMapped (RFC 8265,
    section 3.3): letters, digits and marks of any script, and the printable characters of ASCII;
    right-to-left names obey the Bidi Rule (RFC 5893). A mark stands on a letter or digit.

    Raises FIELD_INVALID.
    """
    name = canonical_username(text, field)
    if not _fits(_USERNAME, name):
        raise invalid_field(field, "must be letters, digits and ASCII, all of them visible")
    _require_carried_marks(name, field)
    return name


def shown_name(text: str, field: str, *, at_most: int = MAX_NAME_CHARACTERS) -> str:
    """A line that one party chooses and another reads, such as a client's name: its NFKC form.

    It has letters, digits, marks on them, punctuation, symbols of currency and mathematics, and
    single blanks between them; no pictures (So, some of which are blank) and no frames (Me).

    Raises FIELD_INVALID.
    """
    name = unicodedata.normalize("NFKC", text)
    if not 1 <= len(name) <= at_most:
        raise invalid_field(field, f"must have 1 to {at_most} characters")
    if name != " ".join(name.split()):
        raise invalid_field(field, "must have single blanks, and none around it")
    pictures = any(unicodedata.category(character) in ("So", "Me") for character in name)
    if pictures or not name.isprintable() or not _fits(_FREE_FORM, name):
        raise invalid_field(field, "must be visible text without pictures")
    _require_carried_marks(name, field)
    return name


def visible(text: str) -> str:
    """A text that is shown but decides nothing, such as a device's name, without what is
    invisible in it; refusing it would keep people out for how they called their phone.

    Inside a picture that consists of several (an emoji sequence) joiners stay.
    """
    if not (text.isascii() and text.isprintable()):
        kept = ""
        for character in text:
            kept += _shown_after(kept[-1:], character)
        text = kept
    return " ".join(text.split())


def _shown_after(before: str, character: str) -> str:
    if character.isspace():
        return " "
    if not _UNICODE.default_ignorable(ord(character)) and character.isprintable():
        return character
    if not before or character not in _JOINERS:
        return ""
    in_picture = before in _JOINERS or unicodedata.category(before) in ("So", "Sk")
    return character if in_picture else ""


def _fits(profile: Profile, text: str) -> bool:
    try:
        profile.enforce(text)
    except UnicodeEncodeError:
        return False
    return True


def _require_carried_marks(text: str, field: str) -> None:
    before = ""
    for character in text:
        category = unicodedata.category(character)[0]
        if category == "M" and before not in ("L", "M", "N"):
            raise invalid_field(field, "must not have a mark that stands on no letter")
        before = category
