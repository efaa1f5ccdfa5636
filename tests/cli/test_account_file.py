"""Account files: what YAML and JSON say, and what is refused."""

import json
from pathlib import Path

import pytest

from signals_proxy.cli import account_file
from signals_proxy.errors import ConfigError

YAML, JSON = Path("a.yaml"), Path("a.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2030-01-01", "2030-01-01"),
        ("465", 465),
        ("-1", -1),
        ("010", 10),
        ("1.0", 1.0),
        ("1e2", 100.0),
        ("9" * 30, float("9" * 30)),
        ("0x1F", "0x1F"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("yes", "yes"),
        ("True", True),
        ("~", None),
        ("", None),
        ("'465'", "465"),
        ("!!str x", "x"),
        ("${HOME}", "${HOME}"),
        ("[a, 1]", ["a", 1]),
        ("{a: {b: null}}", {"a": {"b": None}}),
    ],
)
def test_values_of_yaml(text: str, expected: object) -> None:
    """A value is what YAML 1.2 says; no variable is expanded."""
    found = account_file.parse(YAML, f"a: {text}\n").source["a"]
    assert (json.dumps(found), type(found)) == (json.dumps(expected), type(expected))


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        (YAML, "", "a.yaml: does not say what an account is made of"),
        (YAML, "- a\n", "a.yaml: does not say what an account is made of"),
        (YAML, "a: 1\nb: 2\na: 3\n", "a.yaml:3: names something twice"),
        (YAML, "a:\n  b: 1\n  b: 1\n", "a.yaml:3: names something twice"),
        (YAML, "a: &x 1\nb: *x\n", "a.yaml:2: not YAML: aliases are not supported here"),
        (YAML, "a: 1\nb: !env x\n", "a.yaml:2: a value that begins with '!' is a tag to YAML"),
        (YAML, "a: !!str 1\n", "a.yaml:1: a value that begins with '!' is a tag to YAML"),
        (YAML, "a: !!set {b}\n", "a.yaml:1: a value that begins with '!' is a tag to YAML"),
        (YAML, "1: a\n", "a.yaml:1: a name has to be text"),
        (YAML, "[a]: a\n", "a.yaml:1: a name has to be text"),
        (YAML, "a: b: c\n", "a.yaml:1: not YAML"),
        (YAML, "a: 1\n---\na: 2\n", "a.yaml:2: not YAML: but found another document"),
        (YAML, r'a: "\UFFFFFFFF"', "a.yaml: not YAML: an escape that is no character"),
        (YAML, r'a: "\ud800"', "a.yaml: the file holds half of a surrogate pair"),
        (YAML, "a: \0", "a.yaml: not YAML: a character that may not stand in a text"),
        (YAML, "a: 1e999", "a.yaml: the file holds NaN or Infinity"),
        (YAML, "a: " + "[" * 50 + "]" * 50, "a.yaml: the file nests more than 32"),
        (YAML, "a: " + "[" * 100_000, "a.yaml: not YAML"),
        (YAML, "a: [" + "1," * 20_000 + "]", "a.yaml: the file has more than 10000"),
        (JSON, "[]", "a.json: the file is not a JSON object"),
        (JSON, '{"a":1,\n"a":2}', "a.json: the file names something twice"),
        (JSON, '{"a":1,\n"b" 2}', "a.json: the file is not valid JSON (line 2, column 5)"),
        (Path("a.txt"), "a: 1", "a.txt: neither JSON nor YAML by its name"),
    ],
)
def test_refused(path: Path, text: str, said: str) -> None:
    """What a body of the API could not be is refused, with file and line, and not quoted."""
    with pytest.raises(ConfigError) as refused:
        account_file.parse(path, text)
    assert said in str(refused.value)


def test_size(tmp_path: Path) -> None:
    """A file of over 1 MiB is no account."""
    file = tmp_path / "a.yaml"
    file.write_text("#" * (1024 * 1024) + "\na: 1\n")
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        account_file.read(file)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (YAML, "# c\na: 1\n\nb:\n  c: 1\n"),
        (JSON, '\n{"a": {"x": "}"}\n,\n"b"\n: [1, "\\n"]}'),
    ],
)
def test_lines(path: Path, text: str) -> None:
    """Each member is known by the line that it begins in; what lies in it, by its own."""
    found = account_file.parse(path, text)
    assert found.lines == {"a": 2, "b": 4}
    errors = found.errors({"b.0": [{"error": "Wrong"}], "c": [{"error": "Missing"}]})
    assert [str(each) for each in errors] == [f"{path}:4: b.0: Wrong", f"{path}: c: Missing"]


def test_lines_of_long_integers() -> None:
    """An integer that is too long for Python is an error of the file, not tripped over."""
    with pytest.raises(ConfigError, match="number that is too large"):
        account_file.parse(JSON, '{"a":' + "9" * 5000 + ',\n"b": 1}')
    long = account_file.parse(JSON, '{"a":' + "9" * 30 + ',\n"b": 1}')
    assert long.lines == {"a": 1, "b": 2}


def test_no_members() -> None:
    assert account_file.parse(JSON, "{ }").lines == {}
