"""What the doctor says of stores that turn it away."""

from urllib.parse import urlsplit

from token_service.cli.doctor import redis
from token_service.cli.doctor.checks import Status

CANARY = "canary-71ce"


async def test_a_wrong_password_is_no_silence(redis_url: str) -> None:
    parts = urlsplit(redis_url)
    place = parts.netloc.rpartition("@")[2]
    stranger = parts._replace(netloc=f"{CANARY}:{CANARY}@{place}").geturl()
    (check,) = await redis.check(stranger)
    assert check.status is Status.FAIL
    assert check.detail.startswith("refuses the user")
    assert CANARY not in check.detail + check.advice


async def test_an_empty_port_is_silence() -> None:
    (check,) = await redis.check("redis://127.0.0.1:1")
    assert check.detail.startswith("does not answer")
