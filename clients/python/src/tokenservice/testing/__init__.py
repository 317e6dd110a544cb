"""A token service for the tests of applications: real tokens, no server, no network.

:class:`Issuer` makes tokens and validators; ``pytest_plugins =
["tokenservice.testing.pytest_plugin"]`` in a conftest.py gives the fixtures ``token_issuer`` and
``token_validator``. Nothing of this belongs in production: whoever holds the issuer is anybody.
"""

from tokenservice.testing.issuer import Issuer

__all__ = ["Issuer"]
