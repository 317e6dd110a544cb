"""Every RPC of the service can be called by the client package."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

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


def rpcs() -> Iterator[tuple[str, str]]:
    """Service and name of each RPC that the protos have."""
    for module in pkgutil.iter_modules(v1.__path__):
        if module.name.endswith("_service_pb2"):
            generated = importlib.import_module(f"tokenservice.v1.{module.name}")
            for service in generated.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    yield service.name, method.name


def test_every_rpc_has_a_method() -> None:
    found = dict.fromkeys(METHODS, False)
    for service, rpc in rpcs():
        full = f"{service}.{rpc}"
        if full in METHODS:
            found[full] = True
            client, name = METHODS[full]
        else:
            assert service in CLIENTS, f"no client for {full}"
            client, name = CLIENTS[service], re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
        assert inspect.isfunction(getattr(client, name, None)), f"no method for {full}"
    assert all(found.values()), "a method for an RPC that there is not"
