"""Fixtures for test files whose every fixture is to use the real OpenSearch: import both of them.

They stand in for those of the same names that speak of Elasticsearch.
"""

import pytest
from opensearch import ADMIN, OpenSearch, User

__all__ = ["elasticsearch", "operator"]


@pytest.fixture
def elasticsearch(opensearch: OpenSearch) -> str:
    """The node that all fixtures use."""
    return opensearch.url


@pytest.fixture
def operator() -> User:
    """Who the tests are to it where they go past the proxy."""
    return ADMIN
