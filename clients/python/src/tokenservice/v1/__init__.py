"""Messages and gRPC stubs of the token service's API, package ``tokenservice.v1``.

Everything else in this package is generated from ``protos/tokenservice/v1`` and
must not be edited. The proto files document every call, field and error.
"""
