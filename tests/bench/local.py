"""What a validator costs in its own process. Jobs as in `watchers`; CPU times in seconds."""

import asyncio
import itertools
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.bench.feed_processes import cpu_ns, rss_bytes
from tests.bench.validating import AUDIENCE, SCOPES, Following
from tests.bench.watchers import serve_jobs
from tokenservice import ClientSecret, Connection, Source
from tokenservice._decisions.local_validator import digest_of
from tokenservice.core import parse_jwt
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2

IN_FLIGHT = 64
GOOD = 1_000
FORGED_BETWEEN = 20
"""Forged tokens for each good one."""


class Local:
    """One validator that follows, and a connection to ask on."""

    async def open(self, job: dict[str, Any]) -> dict[str, Any]:
        """Start them."""
        self.following = Following(job["address"], job["client_id"], job["secret"])
        await self.following.start()
        self.validator = self.following.validator
        secret = ClientSecret(job["client_id"], job["secret"])
        self.connection = Connection(job["address"], secret, channels=1)
        await self.connection.__aenter__()
        return {"problems": {}}

    async def warm(self, job: dict[str, Any]) -> dict[str, Any]:
        """CPU of validating a token that is known, in microseconds."""
        token, validate = job["token"], self.validator.validate
        await validate(token, audience=AUDIENCE, scopes=SCOPES)
        begin = time.process_time()
        for _ in range(job["count"]):
            await validate(token, audience=AUDIENCE, scopes=SCOPES)
        used = time.process_time() - begin
        decision = await validate(token, audience=AUDIENCE, scopes=SCOPES)
        wrong = not decision.active or decision.source is not Source.LOCAL
        return {"us": 1e6 * used / job["count"], "problems": {"not local": 1} if wrong else {}}

    async def cold(self, job: dict[str, Any]) -> dict[str, Any]:
        """CPU of validating JWTs at first sight, and of nothing but checking their signatures."""
        tokens = _tokens(job)
        kid = parse_jwt(tokens[0], self.following.trust.issuer).kid
        key = load_der_public_key(self.following.trust.keys[kid].public_key)
        assert isinstance(key, Ed25519PublicKey)
        signed = [_signed(token) for token in tokens]
        begin = time.process_time()
        for message, signature in signed:
            key.verify(signature, message)
        raw = time.process_time() - begin
        begin = time.process_time()
        active = 0
        for token in tokens:
            active += (await self.validator.validate(token, audience=AUDIENCE)).active
        used = time.process_time() - begin
        problems = {} if active == len(tokens) else {"not active": len(tokens) - active}
        return {"ratio": used / raw, "us": 1e6 * used / len(tokens), "problems": problems}

    async def remote(self, job: dict[str, Any]) -> dict[str, Any]:
        """CPU here and at the server of asking about a known token, in microseconds."""
        request = pb.ValidateRequest(token=job["token"], audience=AUDIENCE, required_scopes=SCOPES)
        begin = time.process_time() + cpu_ns(job["pid"]) / 1e9
        active = await self._unary([request] * job["count"])
        used = time.process_time() + cpu_ns(job["pid"]) / 1e9 - begin
        problems = {} if active == job["count"] else {"not active": job["count"] - active}
        return {"us": 1e6 * used / job["count"], "problems": problems}

    async def memory(self, job: dict[str, Any]) -> dict[str, Any]:
        """Growth of this process while it comes to know so many tokens, in MB."""
        before, count, active = rss_bytes(os.getpid()), 0, 0
        with Path(job["tokens"]).open() as lines:
            for line in lines:
                decision = await self.validator.validate(line.strip(), audience=AUDIENCE)
                count, active = count + 1, active + decision.active
        grown = (rss_bytes(os.getpid()) - before) / 1e6
        held = len(self.validator.local.cache)
        problems = {} if active == count <= held else {"not held": count - min(active, held)}
        return {"mb": grown, "count": count, "problems": problems}

    async def flood(self, job: dict[str, Any]) -> dict[str, Any]:
        """Forged tokens, and good ones among them: growth, hits and latencies of the good."""
        validate, cache = self.validator.validate, self.validator.local.cache
        good = _tokens(job)[:GOOD]
        for token in good:
            await validate(token, audience=AUDIENCE)
        before, alone = rss_bytes(os.getpid()), await self._latencies(good)
        forged, again = _forged(good[0], job["count"]), itertools.cycle(good)
        seconds, hits, accepted = [], 0, 0
        for number, token in enumerate(forged):
            accepted += (await validate(token, audience=AUDIENCE)).active
            if number % FORGED_BETWEEN:
                continue
            one = next(again)
            hits += cache.get(digest_of(one)) is not None
            begin = time.perf_counter()
            accepted -= not (await validate(one, audience=AUDIENCE)).active
            seconds.append(time.perf_counter() - begin)
            await asyncio.sleep(0)
        problems = {"wrong verdicts": accepted} if accepted else {}
        return {
            "mb": (rss_bytes(os.getpid()) - before) / 1e6,
            "hit_rate": hits / len(seconds),
            "p99_us": _p99_us(seconds),
            "alone_p99_us": _p99_us(alone),
            "problems": problems,
        }

    async def _latencies(self, tokens: list[str]) -> list[float]:
        seconds = []
        for token in tokens * 5:
            begin = time.perf_counter()
            await self.validator.validate(token, audience=AUDIENCE)
            seconds.append(time.perf_counter() - begin)
        return seconds

    async def _unary(self, requests: list[pb.ValidateRequest]) -> int:
        stub = self.connection.stubs().tokens
        metadata = await self.connection.metadata()

        async def ask(request: pb.ValidateRequest) -> bool:
            reply = await stub.Validate(request, metadata=metadata, timeout=10)
            return reply.verdict == types_pb2.VERDICT_ACTIVE

        return await _concurrently(ask, requests)


async def _concurrently(ask: Callable[[Any], Awaitable[bool]], questions: list[Any]) -> int:
    """So many in flight; how many were answered with yes."""
    rest = iter(questions)

    async def work() -> int:
        return sum([await ask(question) for question in rest])

    return sum(await asyncio.gather(*(work() for _ in range(IN_FLIGHT))))


def _tokens(job: dict[str, Any]) -> list[str]:
    tokens = Path(job["tokens"]).read_text().split()
    first = job.get("first", 0)
    return tokens[first : first + job.get("count", len(tokens))]


def _signed(token: str) -> tuple[bytes, bytes]:
    message, _, signature = token.rpartition(".")
    return message.encode(), urlsafe_b64decode(signature + "==")


def _forged(token: str, count: int) -> Iterator[str]:
    """One in ten with a signature of the right form, which costs most."""
    message = token.rpartition(".")[0]
    for number in range(count):
        if number % 10 == 0:
            signature = urlsafe_b64encode(number.to_bytes(63, "big") + b"\x00").decode()
            yield f"{message}.{signature.rstrip('=')}"
        else:
            yield f"{message}.{number}"


def _p99_us(seconds: list[float]) -> float:
    return 1e6 * sorted(seconds)[int(len(seconds) * 0.99)]


if __name__ == "__main__":
    uvloop.run(serve_jobs(Local()))
