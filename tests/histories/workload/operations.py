"""Every call that the load makes, with what the history keeps of it."""

import os
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.duration_pb2 import Duration

from tests.histories.checker.sessions import DEADLINE
from tests.histories.history import Operation, Outcome
from tests.histories.recorder import Recorder
from tests.histories.site import Site
from tests.histories.world import AUDIENCE
from tests.support.api import Api, basic
from tokenservice import Validator
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

LASTING = 4_000
"""Access tokens that are remembered, to be validated."""
_UNCOUNTED = ("client", "key", "all")
"""Targets whose sessions are not counted in the answer."""
_RECONNECTING = {
    "initial_reconnect_backoff_ms": 100,
    "min_reconnect_backoff_ms": 100,
    "max_reconnect_backoff_ms": 500,
}


@dataclass(slots=True)
class Access:
    """An access token that somebody holds."""

    number: int
    text: str = field(repr=False)
    scopes: tuple[str, ...]
    given: float


@dataclass(slots=True)
class Held:
    """A session as its holder knows it."""

    client: str
    session: int
    session_id: str
    token: str = field(repr=False)
    """What is exchanged next."""
    number: int
    """Stands for it in the history."""
    access: list[Access]


@dataclass(slots=True)
class Context:
    """What all actors share: tokens handed out lately, those of sessions that ended, sessions that
    were going on when the load stopped, and the latest acknowledged revision."""

    site: Site
    random: random.Random
    validators: list[Validator] = field(default_factory=list)
    recent: deque[Access] = field(default_factory=lambda: deque(maxlen=LASTING))
    ended: deque[Access] = field(default_factory=lambda: deque(maxlen=200))
    left: list[Held] = field(default_factory=list)
    revision: int = 0
    stopping: bool = False
    _apis: dict[tuple[int, str], Api] = field(default_factory=dict)

    @property
    def recorder(self) -> Recorder:
        """The recorder of the run."""
        return self.site.recorder

    def api(self, node: int, client: str) -> Api:
        """A client's connection to a node."""
        key = (node, client)
        if key not in self._apis:
            secret = self.site.world.clients[client]
            address = self.site.nodes[node].address
            self._apis[key] = Api(address, basic(client, secret), **_RECONNECTING)
        return self._apis[key]

    def node(self) -> int:
        """Any of the nodes."""
        return self.random.randrange(len(self.site.nodes))

    async def close(self) -> None:
        """Close the connections."""
        for api in self._apis.values():
            await api.channel.close()

    async def call(
        self,
        kind: str,
        node: int,
        client: str,
        method: str,
        request: Any,
        about: dict[str, Any],
        *,
        deadline: float = DEADLINE,
    ) -> tuple[Operation, Any]:
        """Any call, as `service.Method` of the generated stubs."""
        api = self.api(node, client)
        service, _, name = method.partition(".")
        stub = getattr(getattr(api, service), name)

        def send(request_id: str) -> Any:
            metadata = (*api.metadata, ("x-request-id", request_id))
            return stub(request, metadata=metadata, timeout=deadline)

        return await self.recorder.call(kind, f"node-{node}", send, about)

    # --- tokens ---

    def hold(
        self, operation: Operation, client: str, tokens: types.TokenSet, *, replayed: bool = False
    ) -> Held:
        """Record and remember the tokens of an answer."""
        self.recorder.handed_out(operation, tokens, replayed=replayed)
        access = [
            Access(number, one.token, tuple(scopes), operation.done)
            for one, (number, scopes, _) in zip(
                tokens.access_tokens, operation.about["access"], strict=True
            )
        ]
        self.recent.extend(access)
        session = operation.about["session"]
        token = tokens.session_token or tokens.access_tokens[0].token
        following = operation.about["next"]
        return Held(client, session, tokens.session_id, token, following, access)

    async def open(self, client: str, node: int, device: str = "") -> Held | None:
        """A session of the client itself."""
        request = pb.IssueRequest(
            client=pb.ClientCredential(),
            platform=types.PLATFORM_API,
            device=types.Device(device_id=device),
        )
        about = {"client": client, "device": device}
        operation, reply = await self.call("issue", node, client, "tokens.Issue", request, about)
        return None if reply is None else self.hold(operation, client, reply.tokens)

    async def exchange(
        self, held: Held, node: int, once: bytes = b"", *, within: int | None = None
    ) -> tuple[Operation, Held | None]:
        """The successor."""
        about = {
            "client": held.client,
            "token": held.number,
            "once": self.recorder.number(once or os.urandom(16)),
        }
        request = pb.ExchangeRequest(token=held.token, exchange_id=once)
        if within is not None:
            request.replay_within.CopyFrom(Duration(seconds=within))
        operation, reply = await self.call(
            "exchange", node, held.client, "tokens.Exchange", request, about
        )
        if reply is None:
            return operation, None
        return operation, self.hold(operation, held.client, reply.tokens, replayed=reply.replayed)

    async def validate(
        self, access: Access, node: int, *, scopes: tuple[str, ...] = (), min_revision: int = 0
    ) -> str:
        """What a node says of a token; empty where it does not."""
        about: dict[str, Any] = {"access": access.number}
        if scopes:
            about["scopes"] = scopes
        if min_revision:
            about["min_revision"] = min_revision
        return await self.ask(access.text, node, about)

    async def ask(self, token: str, node: int, about: dict[str, Any]) -> str:
        """Validate any text at a node."""
        request = pb.ValidateRequest(
            token=token,
            audience=AUDIENCE,
            required_scopes=about.get("scopes", ()),
            min_revision=about.get("min_revision", 0),
        )
        operation, reply = await self.call(
            "validate", node, "gateway", "tokens.Validate", request, about
        )
        if reply is None:
            return ""
        operation.reason = types.Verdict.Name(reply.verdict).removeprefix("VERDICT_")
        return operation.reason

    async def decide(self, token: str, place: int, about: dict[str, Any]) -> None:
        """Validate at a validator beside a node: most often without any call."""
        operation = self.recorder.begin("validate", f"validator-{place}", about)
        decision = await self.validators[place].validate(
            token,
            audience=AUDIENCE,
            scopes=about.get("scopes", ()),
            min_revision=about.get("min_revision", 0),
        )
        if decision.answered:
            self.recorder.end(operation, Outcome.OK, decision.verdict.name)
        else:
            self.recorder.end(operation, Outcome.UNKNOWN, decision.reason)

    async def revoke(
        self,
        target: list[Any],
        node: int,
        client: str,
        *,
        kind: str = "revoke",
        method: str = "tokens.Revoke",
        request: Any,
        about: dict[str, Any] | None = None,
    ) -> tuple[Operation, Any]:
        """Whatever ends something."""
        operation, reply = await self.call(
            kind, node, client, method, request, {"target": target, **(about or {})}
        )
        if reply is not None and hasattr(reply, "revision"):
            operation.about["revision"] = reply.revision
            self.revision = max(self.revision, reply.revision)
            if target[0] not in _UNCOUNTED and getattr(reply, "revoked_sessions", 1) == 0:
                operation.about["nothing"] = True
        return operation, reply
