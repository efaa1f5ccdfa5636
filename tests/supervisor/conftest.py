"""The fixture ``news``."""

import logging
from collections.abc import Iterator

import pytest
from stub_worker import News


@pytest.fixture
def news() -> Iterator[News]:
    """Return what hears all that the supervisor logs."""
    logger, heard = logging.getLogger("signals_proxy.supervisor"), News()
    level = logger.level
    logger.addHandler(heard)
    logger.setLevel(logging.INFO)
    yield heard
    logger.setLevel(level)
    logger.removeHandler(heard)
