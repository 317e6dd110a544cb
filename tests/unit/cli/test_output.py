"""What commands print can be read by people, parsed by scripts, and obeyed by no terminal."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from token_service.cli import output
from token_service.cli.output import Output, printable
from token_service.cli.values import as_json, duration_text, fields_of
from tokenservice import Client, ClientPolicy, ClientState, Platform, SessionLifetime

ESCAPE = "\x1b[2J"


EPOCH = datetime.fromtimestamp(0, UTC)


def client(name: str = "Shop") -> Client:
    lifetime = SessionLifetime(Platform.WEB, idle=timedelta(seconds=0.5))
    return Client(
        client_id="shop",
        name=name,
        contact="",
        state=ClientState.ACTIVE,
        policy=ClientPolicy(
            scopes=("a", "b"),
            access_lifetime=timedelta(seconds=300),
            session_lifetimes=(lifetime,),
            certificate_thumbprints=(b"\xff",),
        ),
        registered_by="",
        reviewed_by="",
        review_note="",
        created_at=EPOCH,
        updated_at=EPOCH,
        secret_created_at=None,
        old_secret_expires_at=None,
        longest_token=9,
    )


def test_every_part_has_a_label_and_a_text() -> None:
    fields = dict(fields_of(client()))
    assert fields["name"] == "Shop"
    assert fields["contact"] == "-"
    assert fields["state"] == "active"
    assert fields["policy.scopes"] == "a, b"
    assert fields["policy.access_lifetime"] == "5m"
    assert fields["policy.session_lifetimes[0].platform"] == "web"
    assert fields["policy.password_login"] == "no"
    assert fields["policy.scheme"] == "-"
    assert fields["created_at"] == "1970-01-01 00:00:00Z"
    assert "secret_created_at" not in fields


def test_scripts_get_what_the_api_calls_by_name() -> None:
    document = as_json({"client": client(), "revision": 2**60})
    assert document["revision"] == str(2**60)
    assert document["client"]["state"] == "CLIENT_STATE_ACTIVE"
    assert document["client"]["created_at"] == "1970-01-01T00:00:00Z"
    assert document["client"]["longest_token"] == 9
    assert "secret_created_at" not in document["client"]
    policy = document["client"]["policy"]
    assert (policy["access_lifetime"], policy["certificate_thumbprints"]) == ("300s", ["/w=="])
    assert policy["session_lifetimes"] == [{"platform": "PLATFORM_WEB", "idle": "0.5s"}]
    assert policy["scheme"] == "TOKEN_SCHEME_UNSPECIFIED"


def test_an_escape_sequence_in_a_name_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    evil = client(f"{ESCAPE}[bold]\u202e")
    Output().value(evil)
    Output().values([evil], ["client_id", "name"])
    Output(as_json=True).value(evil)
    Output().note(evil.name)
    Output().line(evil.name)
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[bold]" in text


@pytest.mark.parametrize(
    ("columns", "shown"), [(200, 3), (61, 3), (60, 2), (52, 2), (51, 1), (10, 1)]
)
def test_a_narrow_terminal_gets_fewer_columns_and_whole_values(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    shown: int,
) -> None:
    values = ["6f200160-078f-4527-8a8f-db295aea689c", "Anna\u2019s \u624b\u6a5f", "active"]
    monkeypatch.setattr(output, "_width", lambda _: columns)
    Output().rows(["id", "name", "state"], [values])
    captured = capsys.readouterr()
    assert [value for value in values if value in captured.out] == values[:shown]
    assert captured.out.split()[:shown] == ["id", "name", "state"][:shown]
    assert ("left out" in captured.err) is (shown < 3)


def test_scripts_get_one_document_with_unset_fields(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).values([client()], ["client_id"])
    [document] = json.loads(capsys.readouterr().out)
    assert document["state"] == "CLIENT_STATE_ACTIVE"
    assert document["review_note"] == ""


def test_a_long_token_is_neither_cut_nor_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    token = "t" * 5_000
    Output().record([("token", token)])
    Output().rows(["token"], [[token]])
    assert capsys.readouterr().out.count(token) == 2


def test_an_empty_table_says_so_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    Output().values([], ["client_id"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "none\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "0.5s"), (90, "90s"), (300, "5m"), (43_200, "12h"), (2_592_000, "30d")],
)
def test_durations_are_in_their_largest_whole_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_newlines_are_kept_only_where_they_are_ours() -> None:
    assert printable("a\nb") == "a\\nb"
    assert printable("a\nb", newlines=True) == "a\nb"
