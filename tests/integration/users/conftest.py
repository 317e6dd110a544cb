"""A node with a role, a shop whose users log in, and Alice."""

from collections.abc import AsyncIterator

import pytest

from tests.support.node import ADMIN, PASSWORD, Node, started
from token_service.domain.clients.caller import Caller
from token_service.domain.users.user import User
from token_service.usecases.users.administration import CreateUser, NewUser, UserAdministration
from token_service.usecases.users.roles import RoleAdministration
from token_service.usecases.users.set_password import SetPassword


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as running:
        await running.usecases.users.roles.define(
            ADMIN, "sales", ("orders.read", "orders.write"), ""
        )
        yield running


@pytest.fixture
async def shop(node: Node) -> Caller:
    return await node.app("shop")


@pytest.fixture
def create(node: Node) -> CreateUser:
    return node.usecases.users.create


@pytest.fixture
async def alice(create: CreateUser) -> User:
    return await create(ADMIN, NewUser("Alice", PASSWORD, ("sales",)))


@pytest.fixture
def users(node: Node) -> UserAdministration:
    return node.usecases.users.administration


@pytest.fixture
def set_password(node: Node) -> SetPassword:
    return node.usecases.users.set_password


@pytest.fixture
def roles(node: Node) -> RoleAdministration:
    return node.usecases.users.roles
