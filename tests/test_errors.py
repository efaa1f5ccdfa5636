"""Errors say what is wrong, and form one tree."""

from pathlib import Path

import pytest

from signals_proxy import errors
from signals_proxy.errors import ConfigError, Detail, InvalidAccount, SignalsError


def test_all_errors_are_public_and_of_one_tree():
    """What ``__all__`` names is sorted and, but for the detail, a ``SignalsError``."""
    assert sorted(errors.__all__) == errors.__all__
    classes = [getattr(errors, name) for name in errors.__all__ if name != "Detail"]
    assert all(issubclass(c, SignalsError) for c in classes)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidTarget("x"), 400),
        (errors.InvalidParameter("x"), 400),
        (errors.InvalidBody("x"), 400),
        (InvalidAccount({"a": [Detail("x")]}), 400),
        (errors.Unauthenticated("x", ["Basic"]), 401),
        (errors.Forbidden("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.WrongMethod("x", ["GET"]), 405),
        (errors.VersionConflict("x"), 409),
        (errors.NewerAccount("x"), 409),
        (errors.UnknownKey("x"), 409),
        (errors.Forged("x"), 409),
        (errors.Unsealed("x"), 409),
        (errors.BodyTooLarge("x"), 413),
        (errors.WrongMediaType("x"), 415),
        (errors.TooManyAttempts("x", 1), 429),
        (errors.Rejected("x"), 429),
        (errors.Lost("x"), 502),
        (errors.Refused("x"), 502),
        (errors.NotConnected("x"), 503),
        (errors.ForeignIndex("x"), 503),
        (errors.SharedIdentity("x"), 503),
        (errors.Undecided("x"), 503),
        (errors.NotRecorded("x"), 503),
        (errors.TimedOut("x"), 504),
        (ConfigError("x"), 500),
    ],
)
def test_the_status_that_an_error_suggests(error, status):
    """Each error suggests the status of the tree in the module's docstring."""
    assert status == error.status


def test_what_an_error_carries_beside_its_message():
    """Challenges and allowed methods are kept."""
    assert errors.Unauthenticated("x", ["Basic"]).challenges == ["Basic"]
    assert errors.WrongMethod("x", ["GET"]).allowed == ["GET"]
    assert errors.TooManyAttempts("x", 7).retry_after_s == 7


def test_one_detail_is_the_message():
    """A single error is told at once, with its attribute."""
    assert str(InvalidAccount({"port": [Detail("Invalid value")]})) == "'port': Invalid value"


def test_several_details_are_counted():
    """With more than one error, the message sends the reader to the details."""
    two = {"port": [Detail("Invalid value"), Detail("Another")]}
    assert str(InvalidAccount(two)) == "2 errors; see detail."


def test_a_detail_has_only_the_members_that_were_given():
    """What is not known is left out, and ``false`` is known."""
    assert Detail("x").as_json() == {"error": "x"}
    assert Detail("x", False, "y").as_json() == {"error": "x", "value": False, "expected": "y"}


def test_a_config_error_shows_file_line_and_path():
    """What is known of the place stands before the message."""
    error = ConfigError("m", remedy="r", file=Path("f"), line=3, path="upstream.hosts")
    assert str(error) == "f:3: upstream.hosts: m"
    assert str(ConfigError("m")) == "m"
    assert error.remedy == "r"
