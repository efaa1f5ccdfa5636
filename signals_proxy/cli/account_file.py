"""One account in a file: JSON or YAML, read as strictly as a body of the API.

Rules of the file:

- An error names file, line and attribute, and never quotes the file: it may hold a password.
- YAML means what YAML 1.2 (core schema) says: ``yes`` and ``2030-01-01`` are texts, ``1.0`` is no
  integer. What YAML has beyond JSON (aliases, tags, keys that are no text) is refused.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from signals_proxy.account import body
from signals_proxy.account.body import MAX_BODY, Json
from signals_proxy.cli.voice import shown
from signals_proxy.config import Sources
from signals_proxy.config.document import compose
from signals_proxy.errors import ConfigError, Detail, InvalidBody

__all__ = ["SUFFIXES", "AccountFile", "parse", "read", "told"]

_JSON: Final = ".json"
SUFFIXES: Final = frozenset({_JSON, ".yaml", ".yml"})
"""How the names of account files end."""

_RESOLVER: Final = yaml.resolver.Resolver()
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile("[-+]?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BLANK: Final = re.compile(r"[ \t\r\n]*")

_MOST_TOLD: Final = 101
"""What is wrong with an account, in a hundred lines; the last says how much more there is."""


@dataclass(frozen=True, slots=True)
class AccountFile:
    """What a file says: its members, and the line of each, counted from one."""

    path: Path
    text: str = field(repr=False)
    source: Mapping[str, Json] = field(repr=False)
    lines: Mapping[str, int] = field(repr=False)

    @property
    def is_json(self) -> bool:
        return _is_json(self.path)

    def errors(self, detail: object) -> list[ConfigError]:
        """Return the errors that the ``detail`` of an answer, or of ``InvalidAccount``, tells."""
        return [
            ConfigError(text, file=self.path, line=self._line(attribute), path=attribute)
            for attribute, text in told(detail)
        ]

    def _line(self, attribute: str) -> int | None:
        return self.lines.get(attribute) or self.lines.get(attribute.partition(".")[0])


def read(path: Path) -> AccountFile:
    """Return the account file at ``path``.

    :raises ConfigError: if it cannot be read, is over 1 MiB, or is not what an account file is.
    """
    text = Sources().text(path)
    if len(text.encode()) > MAX_BODY:
        raise ConfigError("larger than 1 MiB", remedy="one file holds one account", file=path)
    return parse(path, text)


def parse(path: Path, text: str) -> AccountFile:
    """Return what ``text`` says; ``path`` tells by its name in which language, and is not read.

    :raises ConfigError: as :func:`read` does.
    """
    if path.suffix not in SUFFIXES:
        endings = ", ".join(sorted(SUFFIXES))
        message = "neither JSON nor YAML by its name"
        raise ConfigError(message, remedy=f"names of account files end in {endings}", file=path)
    try:
        if _is_json(path):
            source = body.parse(text.encode())
            return AccountFile(path, text, source, _lines(text))
        node = compose(text, path)
        if not isinstance(node, MappingNode):
            raise ConfigError(
                "does not say what an account is made of",
                remedy="write one attribute a line, such as host: smtp.example.com",
                file=path,
            )
        # The limits are those of a body, and are kept in one place.
        source = body.parse(json.dumps(_value(node, path)).encode())
        lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
    except InvalidBody as error:
        message = "the file" + error.message.removeprefix("The body").removesuffix(".")
        raise ConfigError(message, file=path) from None
    except RecursionError:
        raise ConfigError("nests too many lists within one another", file=path) from None
    return AccountFile(path, text, source, lines)


def _is_json(path: Path) -> bool:
    return path.suffix == _JSON


def told(detail: object) -> list[tuple[str, str]]:
    """Return attributes and what is wrong with them, without values, each fit to be shown.

    No more are returned than a registry of ours has ever to tell.
    """
    listed = (
        (shown(attribute), shown(_worded(each)))
        for attribute, found in (detail.items() if isinstance(detail, Mapping) else ())
        for each in (found if isinstance(found, Sequence) else ())
    )
    return list(islice(listed, _MOST_TOLD))


def _worded(found: object) -> str:
    if isinstance(found, Detail):
        found = found.as_json()
    if not isinstance(found, dict):
        return "is wrong"
    error, expected = found.get("error"), found.get("expected")
    listed = ", ".join(map(str, expected)) if isinstance(expected, list) else expected
    return f"{error}" + (f"; expected: {listed}" if listed is not None else "")


def _lines(text: str) -> dict[str, int]:
    """Return the line of each outermost member of a text that is known to be a JSON object."""
    # Integers stay text, for Python refuses to convert very long ones.
    decoder, lines = json.JSONDecoder(parse_int=str), {}

    def after_blanks(at: int) -> int:
        found = _BLANK.match(text, at)
        return found.end() if found else at

    at = after_blanks(text.index("{") + 1)
    while text[at] != "}":
        name, end = decoder.raw_decode(text, at)
        lines[name] = text.count("\n", 0, at) + 1
        _, end = decoder.raw_decode(text, after_blanks(after_blanks(end) + 1))  # beyond the colon
        at = after_blanks(end)
        if text[at] == ",":
            at = after_blanks(at + 1)
    return lines


# --- YAML ----------------------------------------------------------------------------------------


def _value(node: Node, path: Path) -> Json:
    match node:
        case MappingNode(tag="tag:yaml.org,2002:map"):
            members: dict[str, Json] = {}
            for key_node, value_node in node.value:
                key = _value(key_node, path) if isinstance(key_node, ScalarNode) else None
                if not isinstance(key, str):
                    raise _wrong(key_node, path, "a name has to be text", "put it in quotes")
                if key in members:
                    raise _wrong(key_node, path, "names something twice", "take one of them away")
                members[key] = _value(value_node, path)
            return members
        case SequenceNode(tag="tag:yaml.org,2002:seq"):
            return [_value(each, path) for each in node.value]
        case ScalarNode() if node.tag == _implied_tag(node):
            return _scalar(node.value) if node.style is None else str(node.value)
    raise _wrong(
        node,
        path,
        "a value that begins with '!' is a tag to YAML, and none is supported",
        "put the value in quotes",
    )


def _implied_tag(node: ScalarNode) -> str:
    implicit = (node.style is None, node.style is not None)
    tag: str = _RESOLVER.resolve(ScalarNode, node.value, implicit)  # type: ignore[no-untyped-call]
    return tag


def _scalar(text: str) -> Json:
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _wrong(node: Node, path: Path, message: str, remedy: str) -> ConfigError:
    return ConfigError(message, remedy=remedy, file=path, line=node.start_mark.line + 1)
