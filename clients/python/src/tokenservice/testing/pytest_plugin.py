"""Fixtures for the tests of applications.

Opt in with ``pytest_plugins = ["tokenservice.testing.pytest_plugin"]`` in the topmost conftest.py.
Override ``token_issuer`` there to say, for instance, which audience the application is.
"""

import pytest

from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.sync_validator import SyncAssembledValidator
from tokenservice.testing.issuer import Issuer


@pytest.fixture
def token_issuer() -> Issuer:
    """Make an issuer for one test."""
    return Issuer()


@pytest.fixture
def token_validator(token_issuer: Issuer) -> AssembledValidator:
    """Make a validator of the tokens of ``token_issuer``."""
    return token_issuer.validator()


@pytest.fixture
def sync_token_validator(token_issuer: Issuer) -> SyncAssembledValidator:
    """Make one for threads: WSGI applications and gRPC servers with threads."""
    return token_issuer.sync_validator()
