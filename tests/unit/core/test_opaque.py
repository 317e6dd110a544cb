import struct
import zlib
from dataclasses import replace
from hashlib import sha256
from hmac import new as hmac_new

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokens import SESSION, b64
from tokenservice.core import (
    MalformedToken,
    OpaqueAccess,
    SessionRef,
    access_mac_valid,
    format_opaque,
    parse_opaque,
    seal_access,
    seal_session,
    session_mac_valid,
    session_payload,
    unpack_access,
    unpack_session,
)
from tokenservice.core.tokens.opaque import PAYLOAD_LENGTHS, ROLLING_CODE, SESSION_KINDS

KEY = bytes(range(32))
KEY_ID = "0a0b0c0d"
LOOKUP = bytes(range(100, 116))

ACCESS = OpaqueAccess(
    key_id=KEY_ID,
    session_id=SESSION,
    generation=7,
    audience_index=1,
    scope_mask=0b101,
    issued_at=1_800_000_000,
    expires_at=1_800_000_300,
    rev=42,
    auth_time=1_799_999_000,
    acr=2,
    amr=0b11,
)

codes = st.sampled_from(sorted(PAYLOAD_LENGTHS))


@st.composite
def spelled(draw: st.DrawFn) -> tuple[str, bytes, str]:
    code = draw(codes)
    length = PAYLOAD_LENGTHS[code]
    payload = draw(st.binary(min_size=length, max_size=length))
    return code, payload, format_opaque(code, payload)


def test_session_token_is_spelled_byte_by_byte_as_documented() -> None:
    body = bytes.fromhex(KEY_ID) + LOOKUP + (7).to_bytes(4, "big")
    mac = hmac_new(KEY, b"mob" + body, sha256).digest()[:20]
    checksum = zlib.crc32(b"mob" + body + mac).to_bytes(4, "big")

    token = seal_session("mob", KEY_ID, KEY, LOOKUP, 7)

    assert token == "tsk_mob_" + b64(body + mac + checksum)
    assert len(token) == 8 + 64
    assert "=" not in token


def test_opaque_access_token_is_spelled_byte_by_byte_as_documented() -> None:
    body = b"".join(
        (
            bytes.fromhex(KEY_ID),
            bytes.fromhex(SESSION.replace("-", "")),
            struct.pack(">IBQ", 7, 1, 0b101),
            struct.pack(">IIQI", 1_800_000_000, 1_800_000_300, 42, 1_799_999_000),
            bytes((2, 0b11)),
        )
    )
    mac = hmac_new(KEY, b"acc" + body, sha256).digest()[:16]
    checksum = zlib.crc32(b"acc" + body + mac).to_bytes(4, "big")

    token = seal_access(ACCESS, KEY)

    assert len(body) == 55
    assert token == "tsk_acc_" + b64(body + mac + checksum)
    assert unpack_access(parse_opaque(token).payload) == ACCESS


@given(spelled())
def test_every_payload_survives_the_round_trip(case: tuple[str, bytes, str]) -> None:
    code, payload, token = case
    parsed = parse_opaque(token)
    assert (parsed.code, parsed.payload) == (code, payload)
    assert format_opaque(parsed.code, parsed.payload) == token


@given(spelled(), st.data())
def test_no_single_character_can_be_changed(
    case: tuple[str, bytes, str], data: st.DataObject
) -> None:
    token = case[2]
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda c: c != token[at]))
    with pytest.raises(MalformedToken):
        parse_opaque(token[:at] + other + token[at + 1 :])


@given(spelled(), st.data())
def test_nothing_can_be_inserted_removed_or_swapped(
    case: tuple[str, bytes, str], data: st.DataObject
) -> None:
    token = case[2]
    at = data.draw(st.integers(0, len(token) - 1))
    inserted = token[:at] + data.draw(st.characters()) + token[at:]
    swapped = token[:at] + token[at : at + 2][::-1] + token[at + 2 :]
    for changed in (inserted, token[:at] + token[at + 1 :], token[:at], swapped):
        if changed != token:
            with pytest.raises(MalformedToken):
                parse_opaque(changed)


@given(st.one_of(st.text(), st.text().map("tsk_".__add__), st.text().map("tsk_web_".__add__)))
def test_random_text_is_malformed_and_never_crashes(text: str) -> None:
    with pytest.raises(MalformedToken):
        parse_opaque(text)


@pytest.mark.parametrize("blank", ["=", "==", " ", "\n", "\x00"])
def test_padding_and_blanks_are_refused(blank: str) -> None:
    token = seal_session("web", KEY_ID, KEY, LOOKUP, 0)
    for changed in (token + blank, blank + token, token[:-1] + blank):
        with pytest.raises(MalformedToken):
            parse_opaque(changed)


def test_the_standard_base64_alphabet_is_refused() -> None:
    token = format_opaque("cs", b"\xff" * 32)
    assert "_" in token[7:]
    with pytest.raises(MalformedToken):
        parse_opaque(token[:7] + token[7:].replace("_", "/"))


def test_another_code_of_the_same_length_fails_the_checksum() -> None:
    token = seal_session("web", KEY_ID, KEY, LOOKUP, 0)
    for code in ("mob", "api"):
        with pytest.raises(MalformedToken):
            parse_opaque(token.replace("web", code, 1))


def test_a_payload_that_does_not_fit_its_code_cannot_be_spelled() -> None:
    for code, length in (("web", 43), ("acc", 44), ("cs", 33), ("rol", 44), ("", 0), ("WEB", 44)):
        with pytest.raises(ValueError, match="payload length"):
            format_opaque(code, bytes(length))


@given(
    st.sampled_from(sorted(SESSION_KINDS)),
    st.binary(min_size=1, max_size=64),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**32 - 1),
)
def test_session_tokens_authenticate_their_own_content(
    code: str, secret: bytes, lookup: bytes, generation: int
) -> None:
    token = seal_session(code, KEY_ID, secret, lookup, generation)
    payload = parse_opaque(token).payload

    assert session_mac_valid(code, payload, secret)
    ref = unpack_session(payload)
    assert ref == SessionRef(KEY_ID, lookup, generation, payload[24:])
    assert token == seal_session(code, KEY_ID, secret, lookup, generation)


@given(st.integers(0, 44 * 8 - 1))
def test_no_bit_of_a_session_payload_can_be_changed(bit: int) -> None:
    payload = session_payload("web", KEY_ID, KEY, LOOKUP, 7)
    changed = bytearray(payload)
    changed[bit // 8] ^= 1 << bit % 8
    assert not session_mac_valid("web", bytes(changed), KEY)


@given(st.integers(0, 71 * 8 - 1))
def test_no_bit_of_an_access_payload_can_be_changed(bit: int) -> None:
    payload = parse_opaque(seal_access(ACCESS, KEY)).payload
    assert access_mac_valid(payload, KEY)
    changed = bytearray(payload)
    changed[bit // 8] ^= 1 << bit % 8
    assert not access_mac_valid(bytes(changed), KEY)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_random_payloads_never_authenticate(payload: bytes, other: bytes) -> None:
    assert not session_mac_valid("web", payload, KEY)
    assert not access_mac_valid(other, KEY)


def test_one_kind_never_authenticates_as_another() -> None:
    for sealed in (*SESSION_KINDS, ROLLING_CODE):
        payload = session_payload(sealed, KEY_ID, KEY, LOOKUP, 7)
        valid = [c for c in (*SESSION_KINDS, ROLLING_CODE) if session_mac_valid(c, payload, KEY)]
        assert valid == [sealed]


def test_a_rolling_payload_cannot_be_spelled_as_a_session_token() -> None:
    payload = session_payload(ROLLING_CODE, KEY_ID, KEY, LOOKUP, 7)
    for code in SESSION_KINDS:
        wrapped = parse_opaque(format_opaque(code, payload))
        assert not session_mac_valid(wrapped.code, wrapped.payload, KEY)


def test_another_key_does_not_authenticate() -> None:
    payload = session_payload("web", KEY_ID, KEY, LOOKUP, 7)
    assert not session_mac_valid("web", payload, KEY[::-1])


def test_an_empty_key_is_never_used() -> None:
    payload = session_payload("web", KEY_ID, KEY, LOOKUP, 7)
    with pytest.raises(ValueError, match="empty"):
        session_payload("web", KEY_ID, b"", LOOKUP, 7)
    with pytest.raises(ValueError, match="empty"):
        session_mac_valid("web", payload, b"")
    with pytest.raises(ValueError, match="empty"):
        access_mac_valid(bytes(71), b"")


@pytest.mark.parametrize(
    ("code", "key_id", "lookup", "generation"),
    [
        ("acc", KEY_ID, LOOKUP, 0),
        ("web", "0A0B0C0D", LOOKUP, 0),
        ("web", "0a0b0c", LOOKUP, 0),
        ("web", "0a 0b0c0d", LOOKUP, 0),
        ("web", "nothexed", LOOKUP, 0),
        ("web", KEY_ID, LOOKUP[:15], 0),
        ("web", KEY_ID, LOOKUP + b"x", 0),
        ("web", KEY_ID, LOOKUP, -1),
        ("web", KEY_ID, LOOKUP, 2**32),
    ],
)
def test_session_tokens_are_not_made_of_nonsense(
    code: str, key_id: str, lookup: bytes, generation: int
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several texts, one type
        seal_session(code, key_id, KEY, lookup, generation)


@pytest.mark.parametrize("code", ["acc", "cs", "rs", "", "WEB", "xyz"])
def test_session_payloads_are_for_sessions(code: str) -> None:
    with pytest.raises(ValueError, match="session code"):
        session_payload(code, KEY_ID, KEY, LOOKUP, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"key_id": "0a0b"},
        {"session_id": "not-a-uuid"},
        {"generation": 2**32},
        {"audience_index": 256},
        {"scope_mask": 2**64},
        {"issued_at": -1},
        {"expires_at": 2**32},
        {"rev": 2**64},
        {"auth_time": -5},
        {"acr": 256},
        {"amr": 256},
    ],
)
def test_access_tokens_are_not_made_of_nonsense(change: dict[str, int]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several texts, one type
        seal_access(replace(ACCESS, **change), KEY)  # type: ignore[arg-type]


def test_payloads_of_a_wrong_length_are_not_unpacked() -> None:
    for length in (0, 43, 45, 71):
        with pytest.raises(MalformedToken):
            unpack_session(bytes(length))
    for length in (0, 44, 70, 72):
        with pytest.raises(MalformedToken):
            unpack_access(bytes(length))


def test_token_ids_tell_generations_and_audiences_of_a_session_apart() -> None:
    ids = {
        replace(ACCESS, generation=g, audience_index=a).token_id for g in range(3) for a in range(3)
    }
    assert len(ids) == 9
    assert f"{SESSION}.7.1" == ACCESS.token_id


def test_what_is_logged_holds_nothing_that_could_be_presented() -> None:
    token = seal_session("web", KEY_ID, KEY, LOOKUP, 7)
    parsed = parse_opaque(token)
    ref = unpack_session(parsed.payload)
    for text in (repr(parsed), repr(ref)):
        assert repr(LOOKUP) not in text
        assert LOOKUP.hex() not in text
        assert repr(ref.mac) not in text
