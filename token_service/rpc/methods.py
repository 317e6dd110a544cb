"""What a service offers: its methods with their request types and handlers."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from token_service.domain.clients.caller import Caller

Reply = Message | bytes
"""A response, or one that is serialised already (a feed serialises once for all watchers)."""

UnaryHandler = Callable[[Caller, Any], Awaitable[Reply]]
StreamHandler = Callable[[Caller, Any], AsyncGenerator[Reply, None]]
DialogueHandler = Callable[[Caller, AsyncIterator[Any]], AsyncGenerator[Reply, None]]
Handler = UnaryHandler | StreamHandler | DialogueHandler


class Shape(Enum):
    """How many messages go each way."""

    UNARY = auto()
    STREAM = auto()
    """One request, many responses."""
    DIALOGUE = auto()
    """Many requests, many responses."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method that is offered. `name` is the full one, as on the wire.

    A handler raises domain errors and never touches the call itself.
    """

    name: str
    shape: Shape
    request: type[Message]
    handler: Handler


def methods_of(service: ServiceDescriptor, servicer: object) -> tuple[Method, ...]:
    """Every method of `service`, each handled by the attribute of `servicer` with its name in
    snake case. Raises AttributeError when one is missing."""
    return tuple(
        Method(
            name=f"/{service.full_name}/{method.name}",
            shape=_shape(method),
            request=GetMessageClass(method.input_type),
            handler=getattr(servicer, snake_case(method.name)),
        )
        for method in service.methods
    )


def snake_case(name: str) -> str:
    """`BatchValidate` → `batch_validate`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _shape(method: MethodDescriptor) -> Shape:
    if method.client_streaming:
        return Shape.DIALOGUE
    return Shape.STREAM if method.server_streaming else Shape.UNARY
