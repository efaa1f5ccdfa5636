"""Fixtures of the core's tests: no server, no clock."""

import pytest
from hypothesis import HealthCheck, settings

from signals_proxy.account import AccountType, schema

settings.register_profile(
    "core", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("core")


@pytest.fixture(scope="session")
def types() -> dict[str, AccountType]:
    """The account types of the package."""
    return dict(schema.load())
