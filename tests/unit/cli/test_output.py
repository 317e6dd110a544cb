"""What commands print can be read by people, parsed by scripts, and obeyed by no terminal."""

import json

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from token_service.cli import output
from token_service.cli.output import Output, duration_text, enum_text, fields_of, printable
from tokenservice.v1 import client_policy_pb2, client_service_pb2, types_pb2

ESCAPE = "\x1b[2J"


def client(name: str = "Shop") -> client_service_pb2.Client:
    return client_service_pb2.Client(
        client_id="shop",
        name=name,
        state=client_service_pb2.CLIENT_STATE_ACTIVE,
        policy=client_policy_pb2.ClientPolicy(
            scopes=["a", "b"],
            access_lifetime=Duration(seconds=300),
            session_lifetimes=[client_policy_pb2.SessionLifetime(platform=types_pb2.PLATFORM_WEB)],
        ),
        created_at=Timestamp(seconds=0),
    )


def test_every_field_has_a_label_and_a_text() -> None:
    fields = dict(fields_of(client()))
    assert fields["name"] == "Shop"
    assert fields["state"] == "active"
    assert fields["policy.scopes"] == "a, b"
    assert fields["policy.access_lifetime"] == "5m"
    assert fields["policy.session_lifetimes[0].platform"] == "web"
    assert fields["policy.password_login"] == "no"
    assert fields["created_at"] == "1970-01-01 00:00:00Z"
    assert fields["updated_at"] == "-"


def test_an_escape_sequence_in_a_name_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    evil = client(f"{ESCAPE}[bold]\u202e")
    Output().message(evil)
    Output().messages([evil], ["client_id", "name"])
    Output(as_json=True).message(evil)
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
    Output(as_json=True).messages([client()], ["client_id"])
    [document] = json.loads(capsys.readouterr().out)
    assert document["state"] == "CLIENT_STATE_ACTIVE"
    assert document["review_note"] == ""


def test_a_long_token_is_neither_cut_nor_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    token = "t" * 5_000
    Output().record([("token", token)])
    Output().rows(["token"], [[token]])
    assert capsys.readouterr().out.count(token) == 2


def test_an_empty_table_says_so_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    Output().messages([], ["client_id"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "none\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "0.5s"), (90, "90s"), (300, "5m"), (43_200, "12h"), (2_592_000, "30d")],
)
def test_durations_are_in_their_largest_whole_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_number_that_is_no_value_of_the_enum_is_shown_as_it_is() -> None:
    assert enum_text(types_pb2.Platform.DESCRIPTOR, 99) == "99"
    assert enum_text(types_pb2.Platform.DESCRIPTOR, 0) == "-"


def test_newlines_are_kept_only_where_they_are_ours() -> None:
    assert printable("a\nb") == "a\\nb"
    assert printable("a\nb", newlines=True) == "a\nb"
