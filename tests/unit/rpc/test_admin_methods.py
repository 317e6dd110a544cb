"""The administration services are complete."""

from typing import Any

import pytest

from token_service.rpc.methods import methods_of
from token_service.rpc.policy_table import METHODS
from token_service.rpc.servicers.clients import ClientServicer
from token_service.rpc.servicers.codes import CodeServicer
from token_service.rpc.servicers.keys import KeyServicer
from token_service.rpc.servicers.users import UserServicer
from tokenservice.v1 import client_service_pb2 as client_pb
from tokenservice.v1 import code_service_pb2 as code_pb
from tokenservice.v1 import key_service_pb2 as key_pb
from tokenservice.v1 import user_service_pb2 as user_pb


@pytest.mark.parametrize(
    ("servicer", "module", "service"),
    [
        (ClientServicer, client_pb, "ClientService"),
        (UserServicer, user_pb, "UserService"),
        (KeyServicer, key_pb, "KeyService"),
        (CodeServicer, code_pb, "CodeService"),
    ],
)
def test_every_method_is_handled_and_has_its_row(servicer: type, module: Any, service: str) -> None:
    descriptor = module.DESCRIPTOR.services_by_name[service]
    methods = methods_of(descriptor, servicer)
    assert len(methods) == len(descriptor.methods)
    assert all(method.name in METHODS for method in methods)
