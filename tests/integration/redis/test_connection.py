"""Addresses that no client can be made for."""

import pytest

from token_service.adapters.redis import connect


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://:canary@localhost",
        "redis+other://:canary@localhost",
        "unix+cluster://:canary@/tmp/socket",
        "redis://:canary@localhost:port",
        "redis://name:can/ary@localhost:6379",
        "redis+sentinel://:canary@localhost",
        "redis+sentinel://:canary@localhost:port/tokens",
        "redis+sentinel://:canary@localhost/tokens/db",
        "redis+cluster://:canary@localhost:port",
        "redis+cluster://:canary@localhost/1",
        "redis+sentinel://:canary@,localhost/tokens",
        "redis://:can#ary@localhost",
    ],
)
def test_an_unusable_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="not a usable Redis URL") as refused:
        connect(url)
    assert "can" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("redis+sentinel://:canary@localhost", "names no service"),
        ("redis+cluster://:canary@localhost/1", "database 0 alone"),
        ("redis+cluster://:canary@,localhost", "names no host"),
        ("redis://:can#ary@localhost", "written %23"),
        ("redis://localhost?canary=1", "an option"),
        ("redis+cluster://localhost?canary=1", "an option"),
        ("redis+sentinel://localhost/tokens?canary=1", "an option"),
        ("redis+sentinel://localhost/tokens?sentinel_ca_certs=/canary", "a certificate file"),
        ("rediss://localhost?ssl_ca_certs=/canary", "a certificate file"),
        ("rediss+cluster://localhost?ssl_ca_certs=/canary", "a certificate file"),
        ("rediss+sentinel://localhost/tokens?ssl_certfile=/canary", "a certificate file"),
    ],
)
def test_an_unusable_option_is_refused_without_repeating_it(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as refused:
        connect(url)
    assert "canary" not in str(refused.value)
    assert refused.value.__suppress_context__
