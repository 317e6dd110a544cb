"""KeyService: the keys that tokens are made with."""

from token_service.domain.clients.caller import Caller
from token_service.rpc.mapping import checks
from token_service.rpc.mapping import keys as mapping
from token_service.rpc.mapping.tokens import note
from token_service.usecases.keys.administration import CompromiseKey, KeyAdministration
from tokenservice.v1 import key_service_pb2 as pb


class KeyServicer:
    """Maps requests, calls the use cases, maps outcomes."""

    def __init__(self, keys: KeyAdministration, compromise: CompromiseKey) -> None:
        self._keys = keys
        self._compromise = compromise

    async def list_keys(self, caller: Caller, request: pb.ListKeysRequest) -> pb.ListKeysResponse:
        """List keys."""
        keys, next_page_token = await self._keys.page(
            caller,
            mapping.purpose_filter(request),
            checks.page_size(request.page_size),
            checks.page_token(request.page_token),
        )
        return pb.ListKeysResponse(
            keys=map(mapping.key_message, keys), next_page_token=next_page_token
        )

    async def rotate_key(
        self, caller: Caller, request: pb.RotateKeyRequest
    ) -> pb.RotateKeyResponse:
        """Publish the successor of an active key."""
        key = await self._keys.rotate(
            caller,
            mapping.purpose(request),
            checks.text(request.algorithm, "algorithm", at_most=16),
            note(request.note),
        )
        return pb.RotateKeyResponse(key=mapping.key_message(key))

    async def compromise_key(
        self, caller: Caller, request: pb.CompromiseKeyRequest
    ) -> pb.CompromiseKeyResponse:
        """Declare a key compromised."""
        kid = mapping.kid(request.kid)
        revoked = await self._compromise(caller, kid, note(request.note))
        key = await self._keys.get(caller, kid)
        return pb.CompromiseKeyResponse(key=mapping.key_message(key), revision=revoked.revision)
