"""Questions are gathered without waiting, answered each by itself, and bounded."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest

from tests.support.waiting import PATIENCE
from tokenservice import TokenServiceError, Unreachable
from tokenservice._validator.remote import (
    MAX_BATCH,
    MAX_CALLS,
    MAX_WAITING,
    RemoteValidation,
    Unanswered,
)
from tokenservice.v1 import token_service_pb2 as pb

DOWN = Unreachable("", "", grpc.StatusCode.UNAVAILABLE)


class Server:
    """Answers when it is let; `www_authenticate` echoes the token."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []
        self.poison = ""
        self.running = self.most_running = 0

    async def __call__(
        self, requests: Sequence[pb.ValidateRequest]
    ) -> Sequence[pb.ValidateResponse]:
        self.calls.append([one.token for one in requests])
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        if self.failures:
            raise self.failures.pop(0)
        if any(one.token == self.poison for one in requests if self.poison):
            raise TokenServiceError("REVISION_UNKNOWN", "", grpc.StatusCode.INVALID_ARGUMENT)
        return [pb.ValidateResponse(www_authenticate=one.token) for one in requests]


def patient(server: Server) -> RemoteValidation:
    """One call at a time, and no question is late on a slow machine."""
    return RemoteValidation(server, max_calls=1, timeout=PATIENCE)


def ask(remote: RemoteValidation, token: str, **options: object) -> "asyncio.Task[str]":
    async def asked() -> str:
        request = pb.ValidateRequest(token=token)
        return (await remote.ask(token, request, **options)).www_authenticate  # type: ignore[arg-type]

    return asyncio.create_task(asked())


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_asked_in_one_turn_goes_out_at_once_and_together() -> None:
    server = Server()
    remote = RemoteValidation(server, timeout=PATIENCE)
    asked = [ask(remote, f"t{number}") for number in range(10)]
    assert await asyncio.gather(*asked) == [f"t{number}" for number in range(10)]
    assert len(server.calls) == 1


async def test_one_token_is_asked_about_once() -> None:
    server = Server()
    remote = RemoteValidation(server, timeout=PATIENCE)
    asked = [ask(remote, "t") for _ in range(10)]
    await asyncio.gather(*asked)
    assert server.calls == [["t"]]
    await ask(remote, "t")
    assert server.calls == [["t"], ["t"]]


async def test_questions_gather_while_calls_are_under_way() -> None:
    server = Server()
    remote = RemoteValidation(server, timeout=PATIENCE)
    server.gate.clear()
    asked = []
    for number in range(1000):
        asked.append(ask(remote, f"t{number}"))
        await turns(3)
    server.gate.set()
    await asyncio.gather(*asked)
    assert server.most_running == MAX_CALLS
    assert [len(call) for call in server.calls[:MAX_CALLS]] == [1] * MAX_CALLS
    assert len(server.calls) == MAX_CALLS + 4
    assert max(map(len, server.calls)) == MAX_BATCH


async def test_the_known_go_first_and_leave_room() -> None:
    server = Server()
    remote = patient(server)
    server.gate.clear()
    first = ask(remote, "first")
    await turns()
    junk = [ask(remote, f"junk{number}") for number in range(600)]
    await turns()
    good = [ask(remote, f"good{number}", session=f"s{number}") for number in range(300)]
    await turns()
    server.gate.set()
    await asyncio.gather(first, *junk, *good)
    second = server.calls[1]
    assert [token for token in second if token.startswith("good")] == [
        f"good{n}" for n in range(192)
    ]
    assert [token for token in second if token.startswith("junk")] == [
        f"junk{n}" for n in range(64)
    ]


async def test_one_session_cannot_fill_the_queue_of_the_known() -> None:
    server = Server()
    remote = patient(server)
    server.gate.clear()
    first = ask(remote, "first")
    await turns()
    junk = [ask(remote, f"junk{number}", session="mine") for number in range(1000)]
    await turns()
    good = ask(remote, "good", session="yours")
    await turns()
    server.gate.set()
    await asyncio.gather(first, good, *junk)
    assert "good" in server.calls[1]


async def test_the_queue_of_the_unknown_is_bounded_and_the_known_pass_by() -> None:
    server = Server()
    remote = patient(server)
    server.gate.clear()
    first = ask(remote, "first")
    await turns()
    junk = [ask(remote, f"junk{number}") for number in range(MAX_WAITING + 100)]
    await turns()
    good = ask(remote, "good", session="s")
    await turns()
    server.gate.set()
    refused = await asyncio.gather(first, good, *junk, return_exceptions=True)
    assert sum(isinstance(one, Unanswered) and one.reason == "overloaded" for one in refused) == 100
    assert good.result() == "good"


async def test_what_waited_too_long_is_refused() -> None:
    server = Server()
    remote = RemoteValidation(server, timeout=-1.0, max_calls=1)
    with pytest.raises(Unanswered, match="overloaded"):
        await ask(remote, "t")
    assert server.calls == []


async def test_a_question_that_spoils_a_batch_spoils_itself_alone() -> None:
    server = Server()
    server.poison = "bad"
    remote = RemoteValidation(server, timeout=PATIENCE)
    asked = [ask(remote, token) for token in ("a", "bad", "b")]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert done[0] == "a"
    assert done[2] == "b"
    assert isinstance(done[1], Unanswered)
    assert done[1].reason == "revision_unknown"
    assert server.calls == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]


async def test_a_question_that_may_spoil_goes_alone() -> None:
    server = Server()
    server.poison = "bad"
    remote = RemoteValidation(server, timeout=PATIENCE)
    asked = [ask(remote, "a"), ask(remote, "bad", alone=True), ask(remote, "b")]
    await asyncio.gather(*asked, return_exceptions=True)
    assert server.calls == [["a"], ["bad"], ["b"]]


async def test_nobody_is_asked_for_a_moment_after_failures() -> None:
    server = Server()
    server.failures = [DOWN, DOWN]
    now = 0.0
    remote = RemoteValidation(server, clock=lambda: now)
    for _ in range(3):
        with pytest.raises(Unanswered, match="unreachable"):
            await ask(remote, "t")
    assert len(server.calls) == 2
    now = 2.0  # that moment has passed
    assert await ask(remote, "t") == "t"
    server.failures = [DOWN]
    with pytest.raises(Unanswered, match="unreachable"):
        await ask(remote, "t")
    assert await ask(remote, "t") == "t"  # one failure is none


async def test_who_gives_up_disturbs_nobody() -> None:
    server = Server()
    remote = RemoteValidation(server, timeout=PATIENCE)
    server.gate.clear()
    one, two = ask(remote, "t"), ask(remote, "t")
    await turns()
    one.cancel()
    await turns()
    server.gate.set()
    assert await two == "t"
    three = ask(remote, "u")
    await turns(1)
    three.cancel()
    await turns()
    assert await ask(remote, "v") == "v"


async def test_closing_refuses_what_is_open_and_ends_the_calls() -> None:
    server = Server()
    remote = patient(server)
    server.gate.clear()
    sent = ask(remote, "sent")
    await turns()
    waiting = ask(remote, "waiting")
    await turns()
    await remote.close()
    done = await asyncio.gather(sent, waiting, ask(remote, "late"), return_exceptions=True)
    assert [one.reason for one in done if isinstance(one, Unanswered)] == ["closed"] * 3
    assert server.running == 0


async def test_a_server_that_miscounts_has_not_answered() -> None:
    async def miscount(requests: Sequence[pb.ValidateRequest]) -> Sequence[pb.ValidateResponse]:
        return [pb.ValidateResponse()] * (len(requests) + 1)

    with pytest.raises(Unanswered, match="unintelligible"):
        await ask(RemoteValidation(miscount), "t")
