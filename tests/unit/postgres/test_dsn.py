"""Addresses of PostgreSQL: what they mean, what is refused, and that no secret is quoted."""

from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from asyncpg.connect_utils import _parse_connect_dsn_and_args  # type: ignore[attr-defined]
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.certificates import issue
from token_service.adapters.postgres.dsn import Dsn, DsnError, Server, parse_dsn

CANARY = "kanarienvogel"
LOCAL = {"PGUSER": "someone"}


def servers(text: str, **environment: str) -> list[str]:
    return [str(server) for server in parse_dsn(text, {**LOCAL, **environment}).servers]


def refusal(text: str) -> str:
    with pytest.raises(DsnError) as caught:
        parse_dsn(text, LOCAL)
    return str(caught.value)


def judged(text: str) -> tuple[Dsn | None, str]:
    """What an address says, or why it is refused."""
    try:
        return parse_dsn(text, LOCAL), ""
    except DsnError as error:
        return None, str(error)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("postgresql://db", ["db:5432"]),
        ("postgres://u:p@one:1,two:2,three/d", ["one:1", "two:2", "three:5432"]),
        ("postgresql://u@[::1]:6432,10.0.0.1/d", ["[::1]:6432", "10.0.0.1:5432"]),
        ("postgresql://%2Fvar%2Fsockets/d", ["/var/sockets:5432"]),
        ("postgresql:///d?host=/var/sockets&port=6000", ["/var/sockets:6000"]),
        ("postgresql://u:p@/d?host=one,two&port=1,2", ["one:1", "two:2"]),
        ("postgresql:///d?host=::1,two&port=7", ["[::1]:7", "two:7"]),
    ],
)
def test_servers_are_tried_as_they_are_listed(text: str, meant: list[str]) -> None:
    assert servers(text) == meant


def test_what_is_left_out_is_libpqs_default() -> None:
    variables = {"PGHOST": "one,two", "PGPORT": "1", "PGDATABASE": "tokens", "PGSSLMODE": "require"}
    dsn = parse_dsn("postgresql:///?application_name=x", {**LOCAL, **variables})
    assert [str(server) for server in dsn.servers] == ["one:1", "two:1"]
    assert (dsn.user, dsn.database) == ("someone", "tokens")
    assert dict(dsn.tls.parameters) == {"sslmode": "require"}
    assert servers("postgresql:///d")[-1] == "localhost:5432"
    assert parse_dsn("postgresql://account@h", LOCAL).database == "account"


def test_limits_of_time_are_taken_over() -> None:
    said = "connect_timeout=3&keepalives_idle=60&keepalives_interval=5&tcp_user_timeout=2500"
    dsn = parse_dsn(f"postgresql://h/d?{said}", LOCAL)
    assert dsn.connect_timeout == 3
    assert (dsn.keep_alive.idle, dsn.keep_alive.interval) == (60, 5)
    assert dsn.keep_alive.user_timeout == 2500
    assert not parse_dsn("postgresql://h/d?keepalives=0", LOCAL).keep_alive.enabled
    assert parse_dsn("postgresql://h/d?connect_timeout=0", LOCAL).connect_timeout is None


HARMLESS = [
    "channel_binding=prefer",
    "gssencmode=disable",
    "target_session_attrs=read-write",
    "application_name=orders",
    "sslmode=require&sslnegotiation=direct",
    "ssl_min_protocol_version=TLSv1.3",
    "options=-c%20search_path%3Dtokens",
]


@pytest.mark.parametrize("said", HARMLESS)
def test_what_others_need_is_accepted_where_it_is_true_of_us(said: str) -> None:
    assert servers(f"postgresql://h/d?{said}") == ["h:5432"]


REFUSED = [
    ("mysql://{0}", "must begin with postgresql://"),
    ("postgresql://", "neither a host nor"),
    ("postgresql://u:{0}@word@h/d", "more than one @"),
    ("postgresql://u:{0}#word@h/d", "#, which must be written %23"),
    ("postgresql://u:{0}?word@h/d", "an @ behind a / or ?"),
    ("postgresql://u:{0}/word@h/d", "an @ behind a / or ?"),
    ("postgresql://u:{0}?word=x@h/d", "an @ behind a / or ?"),
    ("postgresql://u:{0}%word@h/d", "% that begins no escape"),
    ("postgresql://u:{0}%ff@h/d", "not UTF-8"),
    ("postgresql://u:{0}%00@h/d", "zero byte"),
    ("postgresql://u:{0} word@h/d", "a space or a control character"),
    ("postgresql://u:{0}\nword@h/d", "a space or a control character"),
    ("postgresql://u:{0}", "a port that is not a number"),
    ("postgresql://u@h:{0}/d", "a port that is not a number"),
    ("postgresql://u@h:0/d", "a port that is not a number"),
    ("postgresql://u@h:65536/d", "a port that is not a number"),
    ("postgresql://u@one:1,two:x/d", "a port that is not a number"),
    ("postgresql://u@::1/d", "IPv6 address without its brackets"),
    ("postgresql://u@[::1/d", "IPv6 address without its brackets"),
    ("postgresql://u@one,,two/d", "a host that is no name"),
    ("postgresql://u@h%2C{0}/d", "a host that is no name"),
    ("postgresql://u@h/d/", "a second /"),
    ("postgresql://h/d?sslmode=require&", "an & too many"),
    ("postgresql://h/d?&sslmode=require", "an & too many"),
    ("postgresql://h/d?{0}", "(number 1) that is none of those"),
    ("postgresql://h/d?sslmode=require&{0}=x", "(number 2) that is none of those"),
    ("postgresql://h/d?password=a&{0}=b", "(number 2) that is none of those"),
    ("postgresql://h/d?sslmode", "(number 1) that is none of those"),
    ("postgresql://h/d?service={0}", "(number 1) that is none of those"),
    ("postgresql://h/d?sslmode={0}", "a value of sslmode that is none of disable, allow,"),
    ("postgresql://h/d?sslmode=verify_full", "a value of sslmode that is none of"),
    ("postgresql://h/d?channel_binding=require", "the driver cannot bind channels"),
    ("postgresql://h/d?gssencmode=require", "by TLS alone"),
    ("postgresql://h/d?target_session_attrs=standby", "works on the primary"),
    ("postgresql://h/d?connect_timeout={0}", "connect_timeout that is not a whole number"),
    ("postgresql://h/d?keepalives_idle=-1", "keepalives_idle that is not a whole number"),
    ("postgresql://h/d?sslnegotiation=direct", "needs sslmode=require"),
    ("postgresql://h/d?sslmode=require&sslmode=disable", "says its sslmode twice"),
    ("postgresql://u@h/d?user={0}", "says its user twice"),
    ("postgresql://h/d?dbname={0}", "says its dbname twice"),
    ("postgresql://h/d?host=other", "says its hosts twice"),
    ("postgresql:///d?host=one,two&port=1,2,3", "has 2 hosts and 3 ports"),
    ("postgresql://h/d?sslmode=verify-full&sslrootcert=/{0}", "has sslrootcert: the file cannot"),
    ("postgresql://h/d?sslmode=verify-full&sslrootcert=system", "name the system's file"),
    ("postgresql://h/d?sslmode=require&sslcert=/{0}", "sslcert and sslkey together"),
    ("postgresql://h/d?sslmode=require&sslcert=/{0}&sslkey=/{0}", "of which a file cannot be read"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_what_has_two_meanings_or_none_is_refused_in_a_line(text: str, why: str) -> None:
    message = refusal(text.format(CANARY))
    assert why in message
    assert CANARY not in message
    assert "word" not in message.replace("password", "")
    assert "\n" not in message


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_verifying_needs_a_file_of_authorities(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    address = f"postgresql://h/d?sslmode={mode}"
    assert f"sslmode={mode} and no sslrootcert: ~/.postgresql/root.crt" in refusal(address)
    (tmp_path / ".postgresql").mkdir()
    root = tmp_path / ".postgresql" / "root.crt"
    root.write_text("nonsense")
    assert "no certificate, PEM" in refusal(address)
    root.write_bytes(issue("authority").certificate)
    assert servers(address) == ["h:5432"]
    assert "sslrootcert" not in dict(parse_dsn(address, LOCAL).tls.parameters)


def test_an_unusable_variable_of_libpq_is_refused_as_well() -> None:
    with pytest.raises(DsnError, match="a value of sslmode"):
        parse_dsn("postgresql://h/d", {**LOCAL, "PGSSLMODE": CANARY})
    with pytest.raises(DsnError, match="a port"):
        parse_dsn("postgresql://h/d", {**LOCAL, "PGPORT": CANARY})


def test_a_user_without_a_name_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    with pytest.raises(DsnError, match="names no user"):
        parse_dsn("postgresql://h/d", {})


def test_what_is_shown_of_an_address_has_no_secret() -> None:
    dsn = parse_dsn(f"postgresql://u:{CANARY}@h/d?options={CANARY}", LOCAL)
    assert CANARY not in repr(dsn)


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
ports = st.integers(1, 65_535)
hosts = st.one_of(
    st.from_regex(r"[a-z0-9]{1,20}(\.[a-z0-9-]{1,20}){0,3}", fullmatch=True),
    st.ip_addresses().map(str),
)


@given(names, names, names, st.lists(st.tuples(hosts, ports), min_size=1, max_size=4))
def test_what_is_escaped_arrives_whole(
    user: str, password: str, database: str, where: list[tuple[str, int]]
) -> None:
    listed = [Server(host, port) for host, port in where]
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    text = f"postgresql://{login}@{','.join(map(str, listed))}/{quote(database, safe='')}"
    dsn = parse_dsn(text, LOCAL)
    assert (dsn.user, dsn.password, dsn.database) == (user, password, database)
    assert dsn.servers == tuple(listed)
    for server in listed:
        by_driver = _parse_connect_dsn_and_args(
            direct_tls=None,
            server_settings=None,
            target_session_attrs=None,
            service=None,
            servicefile=None,
            ssl=None,
            krbsrvname=None,
            gsslib=None,
            **dsn.arguments(server),
        )
        assert by_driver[0] == [(server.host, server.port)]
        assert by_driver[1].password == password
        parts = urlsplit(dsn.alone(server).url())
        assert unquote(parts.password or "") == password
        assert parts.port == server.port
        assert server.host == parse_qs(parts.query).get("hostaddr", [parts.hostname])[0]


tricky = st.sampled_from("@:/?#&=%[],+;\\ \t\n\"'") | st.characters(exclude_categories=["Cs"])


@given(st.text(tricky, max_size=12), st.text(tricky, max_size=12))
@example("", "@")
@example("?", "=x&")
def test_no_half_of_a_raw_password_goes_anywhere_but_into_the_password(
    before: str, after: str
) -> None:
    password = f"{before}{CANARY}{after}"
    dsn, message = judged(f"postgresql://user:{password}@host.example/tokens")
    assert CANARY not in message
    if dsn is None:
        return
    assert CANARY in (dsn.password or "")
    assert [server.host for server in dsn.servers] == ["host.example"]
    assert (dsn.user, dsn.database, dsn.options) == ("user", "tokens", "")


@given(st.text(tricky, max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    for address in (text, f"postgresql://{text}"):
        dsn, message = judged(address)
        assert message.isprintable()
        assert dsn is None or all(dsn.alone(server).url() for server in dsn.servers)
