"""The token service from Python: validating tokens, logging in, pairing devices, one-time codes.

::

    from tokenservice import ClientSecret, Connection, TokenClient

Everything that programs need is here; each name loads its module when it is first used, and
importing this package loads none. Beside it are :mod:`tokenservice.middleware` (ASGI, FastAPI,
WSGI, gRPC), :mod:`tokenservice.testing`, :mod:`tokenservice.core` (token grammar and pure verdicts,
standard library only) and :mod:`tokenservice.v1` (the generated messages and stubs). Modules whose
name begins with an underscore may change in every version.
"""

from __future__ import annotations

from importlib import import_module

from tokenservice._exports import MODULE_OF, NAMES

__all__ = list(NAMES)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("token-service-client")
    elif name == "qr":
        value = import_module("tokenservice._pairing.qr")
    elif name in MODULE_OF:
        value = getattr(import_module(f"tokenservice.{MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next time, nobody asks here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
