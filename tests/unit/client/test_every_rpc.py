"""Every RPC of the service can be called by the client package."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import descriptor_pool

import tokenservice
from tokenservice import v1
from tokenservice._validator.server_calls import ServerCalls

METHODS: dict[str, tuple[type[Any], str]] = {
    "TokenService.Issue": (tokenservice.TokenClient, "login_with_password"),
    "TokenService.Exchange": (tokenservice.TokenClient, "exchange"),
    "TokenService.Reauthenticate": (tokenservice.TokenClient, "reauthenticate"),
    "TokenService.Validate": (tokenservice.TokenClient, "validate"),
    "TokenService.BatchValidate": (tokenservice.TokenClient, "batch_validate"),
    "TokenService.Revoke": (tokenservice.TokenClient, "revoke"),
    "PairingService.StartPairing": (tokenservice.PairingClient, "start"),
    "PairingService.WatchPairing": (tokenservice.PairingClient, "watch"),
    "PairingService.GetPairing": (tokenservice.PairingClient, "get"),
    "PairingService.ScanPairing": (tokenservice.PairingClient, "scan"),
    "PairingService.ApprovePairing": (tokenservice.PairingClient, "approve"),
    "PairingService.DenyPairing": (tokenservice.PairingClient, "deny"),
    "PairingService.CancelPairing": (tokenservice.PairingClient, "cancel"),
    "PairingService.CollectPairing": (tokenservice.PairingClient, "collect"),
    "CodeService.IssueCode": (tokenservice.CodeClient, "issue"),
    "CodeService.RedeemCode": (tokenservice.CodeClient, "redeem"),
    "CodeService.RevokeCode": (tokenservice.CodeClient, "revoke"),
    "CodeService.GetCode": (tokenservice.CodeClient, "get"),
    "TrustService.ReportActivity": (ServerCalls, "report"),  # validators report, nobody else
}
"""Those whose methods have names of their own."""

CLIENTS: dict[str, type[Any]] = {
    "ClientService": tokenservice.ClientAdmin,
    "KeyService": tokenservice.KeyAdmin,
    "SessionService": tokenservice.TokenClient,
    "TrustService": tokenservice.TrustClient,
    "UserService": tokenservice.UserAdmin,
}
"""Those whose methods have the names of the RPCs."""


OTHERWISE_SAID = {"ReviewClient": {"reject"}}
"""Fields of requests that are a value of another parameter."""


def rpcs() -> Iterator[tuple[str, str]]:
    """Service and name of each RPC that the protos have."""
    for module in pkgutil.iter_modules(v1.__path__):
        if module.name.endswith("_service_pb2"):
            generated = importlib.import_module(f"tokenservice.v1.{module.name}")
            for service in generated.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    yield service.name, method.name


def test_every_rpc_has_a_method() -> None:
    found = set()
    for service, rpc in rpcs():
        full = f"{service}.{rpc}"
        found.add(full)
        assert full in METHODS or service in CLIENTS, f"no client for {full}"
        client, name = METHODS.get(full) or (CLIENTS[service], snake_case(rpc))
        assert inspect.isfunction(getattr(client, name, None)), f"no method for {full}"
    assert found >= METHODS.keys()


@pytest.mark.parametrize("service", CLIENTS)
def test_every_field_of_a_request_can_be_said(service: str) -> None:
    for _, rpc in (one for one in rpcs() if one[0] == service):
        if rpc == "ReportActivity":
            continue
        method = inspect.signature(getattr(CLIENTS[service], snake_case(rpc)))
        said = set(method.parameters) | OTHERWISE_SAID.get(rpc, set())
        assert request_fields(service, rpc) - said == set(), rpc


def request_fields(service: str, rpc: str) -> set[str]:
    """The fields of the request of an RPC."""
    name = f"tokenservice.v1.{service}"
    method = descriptor_pool.Default().FindServiceByName(name).FindMethodByName(rpc)
    return set(method.input_type.fields_by_name)


def snake_case(rpc: str) -> str:
    """ListClients: list_clients."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
