"""What ``pattern`` means in the schemas of accounts and messages: what the standard says."""

import pytest

from signals_proxy.account.values import problems


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("^a$", "a", ["a\n", "b", "\na"]),
        ("^(a|b$)$", "b", ["b\n"]),
        (r"^\$a$", "$a", ["$a\n", "a"]),
        ("a", "bab", ["b"]),
    ],
)
def test_the_end_is_the_end(pattern, fits, others):
    """Not what stands before a last line break, as for Python."""
    schema = {"type": "string", "pattern": pattern}
    found = [[*problems(schema, value)] == [] for value in (fits, *others)]
    assert found == [True] + [False] * len(others)


def test_what_is_no_text_has_no_pattern():
    """Only its type is wrong."""
    (found,) = problems({"type": "string", "pattern": "a", "format": "line"}, 1)
    assert found.path == ()
