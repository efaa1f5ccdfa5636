"""A secret does not show, whatever Python does with it."""

import copy
import json
import pickle
from dataclasses import asdict, dataclass

import pytest

from signals_proxy.secret import MASK, Secret


def test_reveal_gives_the_value():
    """Only reveal gives the value, as it was put in."""
    assert Secret({"user": "a"}).reveal() == {"user": "a"}


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{:>40}".format, "%s".__mod__, ascii])
def test_every_text_of_a_secret_is_the_mask(show):
    """Whatever turns it into text gets the mask."""
    assert show(Secret("hunter2")) == MASK


def test_a_secret_within_other_values_is_masked():
    """Containers and dataclasses show the mask too."""

    @dataclass
    class Holder:
        password: Secret

    assert "hunter2" not in f"{[Secret('hunter2')]} {Holder(Secret('hunter2'))}"


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps, json.dumps, bytes])
def test_a_secret_is_not_copied_out(take):
    """Copies, pickles, JSON and bytes are refused."""
    with pytest.raises(TypeError):
        take(Secret("hunter2"))


def test_a_dataclass_that_holds_a_secret_is_not_turned_into_a_dictionary():
    """``asdict`` copies, and a secret is not copied."""

    @dataclass
    class Holder:
        password: Secret

    with pytest.raises(TypeError):
        asdict(Holder(Secret("hunter2")))


def test_secrets_are_equal_when_their_values_are():
    """Equality is that of the JSON values; other objects are never equal."""
    assert Secret({"a": 1, "b": 2}) == Secret({"b": 2, "a": 1})
    assert Secret("hunter2") != Secret("hunter3")
    assert Secret("hunter2") != "hunter2"


def test_secrets_are_unhashable():
    """A set would compare secrets in the ordinary way."""
    with pytest.raises(TypeError):
        hash(Secret("hunter2"))


def test_a_secret_has_no_attributes_to_look_at():
    """There is no ``__dict__`` for a debugger or serialiser to walk."""
    assert not hasattr(Secret("hunter2"), "__dict__")
