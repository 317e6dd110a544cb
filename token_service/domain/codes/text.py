"""How one-time codes are spelled: the one form in which they are compared, and their alphabets."""

import math
import unicodedata
from dataclasses import dataclass
from datetime import timedelta

from token_service.domain.errors import invalid_field
from token_service.domain.kinds import CodeKind
from token_service.domain.login.passwords import folded
from tokenservice.core.limits import MAX_DURATION

MAX_CODE_CHARACTERS = 128
MAX_RECIPIENT_CHARACTERS = 256
DIGITS = "0123456789"
UNAMBIGUOUS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""The 32 characters of Crockford's Base32: none looks like another."""

_ALIKE = {"O": "0", "I": "1", "L": "1"}


def _canonical_ascii(character: str) -> str | None:
    upper = character.upper()
    return _ALIKE.get(upper, upper) if character.isalnum() else None


_ASCII = {number: _canonical_ascii(chr(number)) for number in range(128)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRules:
    """What codes of a kind are like: lengths in characters, `min_bits` of what must be guessed.

    `alphabet` is the default, and the only one where it is `fixed`.
    """

    length: int
    alphabet: str
    ttl: timedelta
    max_ttl: timedelta
    min_length: int = 1
    max_length: int = 64
    min_bits: float = 40.0
    fixed: bool = False


MAX_TTL = MAX_DURATION
RULES = {
    CodeKind.COUPON: CodeRules(
        length=12, alphabet=UNAMBIGUOUS, ttl=timedelta(days=30), max_ttl=MAX_TTL
    ),
    CodeKind.INVITATION: CodeRules(
        length=16, alphabet=UNAMBIGUOUS, ttl=timedelta(days=7), max_ttl=MAX_TTL
    ),
    CodeKind.VERIFICATION: CodeRules(
        length=6,
        alphabet=DIGITS,
        ttl=timedelta(minutes=10),
        max_ttl=timedelta(minutes=10),
        min_length=6,
        max_length=12,
        min_bits=0.0,
        fixed=True,
    ),
}


def canonical_code(text: str, field: str = "code") -> str:
    """Spell a code as all texts are spelled that people take to be the same.

    Only letters and digits count, in upper case, without compatibility forms and marks; what
    looks like 0 or 1 is that. Limiter, replay check and verifier all see this form.

    Raises FIELD_INVALID unless it has 1 to 128 characters, some of which count.
    """
    if not 1 <= len(text) <= MAX_CODE_CHARACTERS:
        raise invalid_field(field, f"must have 1 to {MAX_CODE_CHARACTERS} characters")
    if any(character < " " or character == "\x7f" for character in text.strip()):
        raise invalid_field(field, "must not have control characters")
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(map(_as_digit, filter(str.isalnum, decomposed)))
    code = text.translate(_ASCII)
    if not code:
        raise invalid_field(field, "must have letters or digits")
    return code


def _as_digit(character: str) -> str:
    """Any script's decimal digit as the one of ASCII."""
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def canonical_recipient(text: str, field: str = "recipient") -> str:
    """Spell a recipient as all are spelled that people take to be the same; empty for nobody.

    Raises FIELD_INVALID for more than 256 characters, for blank and for unprintable text.
    """
    if not text:
        return ""
    too_long = f"must have at most {MAX_RECIPIENT_CHARACTERS} characters"
    if len(text) > MAX_RECIPIENT_CHARACTERS:
        raise invalid_field(field, too_long)
    recipient = folded(text, field).strip()
    if len(recipient) > MAX_RECIPIENT_CHARACTERS:
        raise invalid_field(field, too_long)
    if not recipient:
        raise invalid_field(field, "must not be blank")
    if not recipient.isprintable():
        raise invalid_field(field, "must be printable")
    return recipient


def checked_spelling(kind: CodeKind, length: int, alphabet: str) -> tuple[int, str]:
    """The length and the alphabet of a new code, with the kind's own where they are 0 and empty.

    Raises FIELD_INVALID for what is too short, too easy to guess or easy to misread.
    """
    rules = RULES[kind]
    length, alphabet = length or rules.length, alphabet or rules.alphabet
    if not rules.min_length <= length <= rules.max_length:
        raise invalid_field("length", f"must be {rules.min_length} to {rules.max_length}")
    if rules.fixed and alphabet != rules.alphabet:
        raise invalid_field("alphabet", "must be the ten digits, or empty")
    if len(alphabet) > len(_ASCII) or not (alphabet.isascii() and alphabet.isalnum()):
        raise invalid_field("alphabet", "must be ASCII letters and digits")
    if len(set(alphabet.translate(_ASCII))) != len(alphabet):
        raise invalid_field("alphabet", "has characters twice, or some that look like others")
    bits = length * math.log2(len(alphabet))
    if bits < rules.min_bits:
        raise invalid_field("length", f"gives {bits:.0f} bits, {rules.min_bits:.0f} are needed")
    return length, alphabet
