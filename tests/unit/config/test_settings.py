"""What the configuration accepts, and how it refuses."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.crypto.builders import facts as token_facts
from tests.unit.crypto.builders import loaded as keyring_of
from tests.unit.crypto.builders import one_of_each
from token_service.adapters.crypto.access_tokens import AccessTokenFactory
from token_service.config import ConfigError, Settings, load, settings_table, unknown_variables
from tokenservice.core.limits import MAX_ISSUER_LENGTH

KEYRING = keyring_of(*one_of_each())
CANARY = "canary-9f3b"
SECRET = "k1:" + "A" * 43
REQUIRED = {
    "TOKEN_SERVICE_POSTGRES_DSN": f"postgresql://service:{CANARY}@db/tokens",
    "TOKEN_SERVICE_SECRET_KEYS": SECRET,
    "TOKEN_SERVICE_ISSUER": "https://auth.example.com",
}


def loaded(**changes: str) -> Settings:
    return load({**REQUIRED, **{f"TOKEN_SERVICE_{name}": text for name, text in changes.items()}})


def refusal(**changes: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(**changes)
    return str(caught.value)


def test_three_settings_are_enough() -> None:
    settings = loaded()
    assert settings.grpc_listen == "127.0.0.1:50051"
    assert settings.staleness_limit == timedelta(seconds=5)
    assert settings.heartbeat == timedelta(seconds=2)
    assert not settings.plaintext_beyond_this_machine


def test_every_missing_setting_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load({})
    assert str(caught.value).splitlines() == [
        "TOKEN_SERVICE_POSTGRES_DSN: is required",
        "TOKEN_SERVICE_SECRET_KEYS: is required",
        "TOKEN_SERVICE_ISSUER: is required",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("POSTGRES_DSN", f"mysql://{CANARY}"),
        ("REDIS_URL", f"http://:{CANARY}@cache"),
        ("SECRET_KEYS", f"k1:{CANARY}"),
        ("SECRET_KEYS", f"{CANARY}"),
        ("SECRET_KEYS", f"{SECRET},{SECRET}"),
        ("ISSUER", f"two words {CANARY}"),
        ("HEARTBEAT", CANARY),
        ("HEARTBEAT", "2.5s"),
        ("STALENESS_LIMIT", "2m"),
        ("KEY_PUBLISH_LEAD", "9s"),
        ("KEY_ROTATION_PERIOD", "30s"),
        ("REDIS_TIMEOUT", "51ms"),
        ("SIGNING_ALGORITHMS", "EdDSA,none"),
        ("SIGNING_ALGORITHMS", " , "),
        ("ARGON2_MEMORY_KIB", "1024"),
        ("ARGON2_PASSES", "1"),
        ("GRPC_LISTEN", CANARY),
        ("GRPC_LISTEN", "localhost:70000"),
        ("MAX_STREAMS", "0"),
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("RATE_SCALE", "0"),
        ("LOG_LEVEL", CANARY),
        ("REFLECTION", CANARY),
        ("TLS_CLIENT_CA", f"/{CANARY}"),
        ("REDIS_URL_FILE", f"/{CANARY}"),
    ],
)
def test_a_refusal_names_the_setting_and_never_its_value(name: str, text: str) -> None:
    message = refusal(**{name: text})
    assert message.startswith(f"TOKEN_SERVICE_{name}: ")
    assert CANARY not in message
    assert "AAAA" not in message


def test_the_settings_show_no_secret() -> None:
    settings = loaded(REDIS_URL=f"redis://:{CANARY}@cache")
    assert CANARY not in repr(settings) + str(settings.model_dump())
    assert settings.postgres_dsn.get_secret_value() == REQUIRED["TOKEN_SERVICE_POSTGRES_DSN"]


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        loaded().max_streams = 2


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("3", timedelta(seconds=3)),
        ("1500ms", timedelta(milliseconds=1500)),
        ("0.5m", timedelta(seconds=30)),
        ("12 h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
    ],
)
def test_durations_have_units(text: str, meant: timedelta) -> None:
    assert loaded(GRACE_PERIOD=text).grace_period == meant


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{SECRET}\nold:{'B' * 42}E\n")
    environment = dict(REQUIRED) | {"TOKEN_SERVICE_SECRET_KEYS_FILE": str(file)}
    del environment["TOKEN_SERVICE_SECRET_KEYS"]
    assert load(environment).secret_keys.get_secret_value() == f"{SECRET}\nold:{'B' * 42}E"


def test_a_secret_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(SECRET)
    message = refusal(SECRET_KEYS_FILE=str(file))
    assert (
        message == "TOKEN_SERVICE_SECRET_KEYS: set it or TOKEN_SERVICE_SECRET_KEYS_FILE, not both"
    )


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"\xff\xfe")
    environment = {
        **REQUIRED,
        "TOKEN_SERVICE_SECRET_KEYS": "",
        "TOKEN_SERVICE_SECRET_KEYS_FILE": str(file),
    }
    with pytest.raises(ConfigError, match=r"^TOKEN_SERVICE_SECRET_KEYS_FILE: the file is not text"):
        load(environment)


@pytest.mark.parametrize(
    ("listen", "private"),
    [
        ("127.0.0.1:0", True),
        ("127.8.8.8:1", True),
        ("[::1]:50051", True),
        ("localhost:50051", True),
        ("unix:/run/token-service.sock", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("*:50051", False),
        ("10.0.0.7:50051", False),
        ("localhost.example.com:50051", False),
    ],
)
def test_plaintext_stays_on_this_machine(listen: str, private: bool) -> None:
    if private:
        assert not loaded(GRPC_LISTEN=listen).plaintext_beyond_this_machine
        return
    assert refusal(GRPC_LISTEN=listen).startswith("TOKEN_SERVICE_GRPC_LISTEN: ")
    assert loaded(GRPC_LISTEN=listen, ALLOW_PLAINTEXT="true").plaintext_beyond_this_machine


def _write_pair(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def test_tls_files_are_read_before_anything_opens(tmp_path: Path) -> None:
    cert, key = map(str, _write_pair(tmp_path, "one"))
    other = str(_write_pair(tmp_path, "other")[1])
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    everywhere = {"GRPC_LISTEN": "0.0.0.0:50051"}
    assert loaded(TLS_CERT=cert, TLS_KEY=key, TLS_CLIENT_CA=cert, **everywhere).tls
    assert refusal(TLS_CERT=cert).startswith("TOKEN_SERVICE_TLS_KEY: ")
    assert refusal(TLS_KEY=key).startswith("TOKEN_SERVICE_TLS_CERT: ")
    assert refusal(TLS_CERT=cert, TLS_KEY=other).startswith("TOKEN_SERVICE_TLS_KEY: ")
    assert refusal(TLS_CERT=cert, TLS_KEY=f"{tmp_path}/none").startswith("TOKEN_SERVICE_TLS_KEY: ")
    assert refusal(TLS_CERT=cert, TLS_KEY=key, TLS_CLIENT_CA=str(nonsense)).startswith(
        "TOKEN_SERVICE_TLS_CLIENT_CA: "
    )


def test_several_workers_need_a_port() -> None:
    path = "unix:/run/token-service.sock"
    assert loaded(GRPC_LISTEN=path).workers == 1
    refused = refusal(GRPC_LISTEN=path, WORKERS="2")
    assert refused.startswith("TOKEN_SERVICE_WORKERS: only one process can serve on a unix:")


def test_every_setting_is_documented() -> None:
    table = settings_table()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert table.count(f"`TOKEN_SERVICE_{name.upper()}`") == 1
    assert "`TOKEN_SERVICE_SECRET_KEYS` or `…_FILE`" in table
    assert "| `TOKEN_SERVICE_STALENESS_LIMIT` | `5s` |" in table
    assert "**Server**" in table


def test_a_misspelt_variable_is_noticed() -> None:
    environment = {
        **REQUIRED,
        "TOKEN_SERVICE_GRPC_LISTN": "x",
        "TOKEN_SERVICE_POSTGRES_DSN_FILE": "x",
        "TOKEN_SERVICE_SERVICE_HOST": "10.0.0.1",
        "TOKEN_SERVICE_PORT_50051_TCP_ADDR": "10.0.0.1",
        "PATH": "x",
    }
    assert unknown_variables(environment) == ("TOKEN_SERVICE_GRPC_LISTN",)


@settings(max_examples=60)
@given(
    st.text(st.characters(min_codepoint=0x1F, max_codepoint=0x80), max_size=MAX_ISSUER_LENGTH + 2),
    st.sampled_from(["", "my browser", 'a "quoted" one']),
)
@example("[" * MAX_ISSUER_LENGTH, "")
@example("{[" * 100, "a[" * 64)
@example('"' * MAX_ISSUER_LENGTH, "")
@example("i" * (MAX_ISSUER_LENGTH + 1), "")
def test_an_accepted_issuer_makes_tokens_that_are_read(issuer: str, device_id: str) -> None:
    try:
        accepted = loaded(ISSUER=issuer).issuer
    except ConfigError:
        # Only what the environment cannot hold or the README excludes.
        assert (
            not issuer
            or len(issuer) > MAX_ISSUER_LENGTH
            or not issuer.isprintable()
            or (" " in issuer or not issuer.isascii())
        )
        return
    tokens = AccessTokenFactory(KEYRING, accepted)
    made = token_facts(device_id=device_id, scopes=frozenset({"a[b", "{" * 64}))
    assert replace(tokens.authenticate_jwt(tokens.sign_jwt(made, "")), key_id="") == made
