"""Settings of what is issued and of what it is issued for: tokens, passwords, codes."""

from datetime import timedelta

from token_service.config import values
from token_service.config.values import Group, setting
from tokenservice.core.limits import MAX_ISSUER_LENGTH


class Tokens(Group):
    """What tokens say, and how old a view they are judged from."""

    issuer: str = setting(
        "The `iss` claim of all tokens, such as `https://auth.example.com`. Required.",
        min_length=1,
        max_length=MAX_ISSUER_LENGTH,
        pattern=r"^[!-~]+$",
    )
    staleness_limit: values.Duration = setting(
        "Oldest view of the trust log that a verdict may be given from; 1 s to 60 s.",
        timedelta(seconds=5),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=1),
    )
    heartbeat: values.Duration = setting(
        "Longest silence of the trust feed; less than half of the staleness limit.",
        timedelta(seconds=2),
    )
    activity_interval: values.Duration = setting(
        "Activity of a session is written at most once in this time, or in a quarter of its idle "
        "lifetime where that is shorter.",
        timedelta(minutes=1),
        ge=timedelta(seconds=1),
    )
    qr_uri_prefix: str = setting(
        "What the QR codes of pairings begin with, such as `https://auth.example.com/pair/`; "
        "the direction, a slash and the code follow.",
        "tokenservice:pair/",
        min_length=1,
        max_length=256,
        pattern=r"^[!-~]+$",
    )


class Passwords(Group):
    """How passwords are hashed, and guessing is slowed down."""

    argon2_memory_kib: int = setting(
        "Memory of one Argon2id hash in KiB; at least 19456.",
        19_456,
        ge=19_456,
        le=4_194_304,
    )
    argon2_passes: int = setting("Passes of Argon2id; at least 2.", 2, ge=2, le=1_000)
    argon2_lanes: int = setting("Lanes of Argon2id.", 1, ge=1, le=255)
    argon2_threads: int = setting(
        "Passwords hashed at the same time; divided among the workers, at least one for each. "
        "0 stands for half of the processors that the process may use, and 8 at the most.",
        0,
        ge=0,
        le=1_024,
    )
    argon2_queue: int = setting(
        "Passwords that may wait to be hashed, divided likewise; more are refused.",
        64,
        ge=0,
        le=1_000_000,
    )
    login_attempts_per_account_and_address: values.Count = setting(
        "Failed logins of one account from one address before a lock.", 10
    )
    login_attempts_per_account: values.Count = setting(
        "Failed logins of one account from anywhere before a lock.", 100
    )
    login_attempts_per_address: values.Count = setting(
        "Failed logins from one address before a lock.", 300
    )
    login_window: values.Duration = setting(
        "Time in which failed logins are counted.", timedelta(minutes=15)
    )
    login_lock: values.Duration = setting("How long a lock lasts.", timedelta(minutes=5))


class Codes(Group):
    """How many one-time codes are issued."""

    codes_per_recipient: values.Count = setting(
        "Codes that one client may issue for one recipient within the window.", 10
    )
    codes_per_caller: values.Count = setting(
        "Codes that one client may issue within the window.", 30_000
    )
    codes_window: values.Duration = setting(
        "Time in which issued codes are counted.", timedelta(minutes=10)
    )
