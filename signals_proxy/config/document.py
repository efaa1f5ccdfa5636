"""The text of a configuration file as values that know their lines.

Rules of the file:

- It knows YAML and environment variables, and no setting.
- An error names the place and never quotes a value: any value may be a password in the wrong place.
- A variable is put in after the YAML was read, so its content is never taken for structure.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from signals_proxy.errors import ConfigError

__all__ = ["Document", "Expanded", "Place", "Problem", "compose", "parse", "resolved"]

Place = tuple[str | int, ...]
"""Where a value stands: the keys and positions that lead to it."""

_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")

_AROUND: Final = "check indentation and quotes of this line and the one above"
_TAG: Final = "a value that begins with '!' is a tag to YAML, and none is supported"
# What PyYAML says of a mistake may quote it. Only what begins so is passed on, without what it found.
_FIT_TO_TELL: Final = re.compile(
    "(?:aliases are|but found another|could not find|expected|found unexpected|mapping|sequence) "
)
_WORDED: Final = {
    "found undefined tag handle": _TAG,
    "found character": "a value that begins with this character has to stand in quotes",
    "found unknown escape": 'an unknown escape: within "…" a backslash has to be doubled',
}

_TEXT: Final = "tag:yaml.org,2002:str"
_PLAIN: Final = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}
# YAML 1.1 sees dates in texts and merges in `<<`. No setting is either, so they stay texts.
_AS_TEXT: Final = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "merge", "value")}


class Expanded(str):
    """A text into which an environment variable was put: not a secret written down in the file."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place, and what to do about it."""

    place: Place
    message: str
    remedy: str = ""
    line: int | None = None


@dataclass(slots=True)
class Document:
    """A file that was read: its value, the line of each place in it, and what was wrong so far."""

    data: Any
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """Return the line of ``place``, or of the nearest thing around it that is in the file."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


class _Loader(yaml.SafeLoader):
    """Composes nodes. Aliases are refused: they would let a value be its own content."""

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                None,
                None,
                "aliases are not supported here",
                self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)


def parse(text: str, file: Path, environ: Mapping[str, str]) -> Document:
    """Return what ``text`` says, with ``${NAME}`` replaced from ``environ``.

    ``$${`` stands for ``${`` itself; every other ``$`` is an ordinary character. Keys are never
    expanded. Duplicate keys, foreign tags and unset variables end up in the document's problems.

    :raises ConfigError: if the text is not YAML. ``file`` is named by it and is not read.
    """
    node = compose(text, file, remedy="within {…} or […] a value with ${NAME} needs quotes")
    document = Document(None)
    if node is not None:
        document.data = _value(node, (), document, _expander(environ))
    return document


def compose(text: str, file: Path, *, remedy: str = "") -> Node | None:
    """Return the one document of ``text`` as nodes that know their places; None if it is empty.

    ``remedy`` is said beside what is to be done about any mistake.

    :raises ConfigError: if the text is not YAML. ``file`` is named by it and is not read.
    """
    try:
        return _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            f"not YAML: {_worded(error.problem or '')}",
            remedy="; ".join(filter(None, (_AROUND, remedy))),
            file=file,
            line=mark.line + 1 if mark else None,
        ) from None  # the cause quotes the line, which may hold a password
    except yaml.YAMLError:
        raise ConfigError(
            "not YAML: a character that may not stand in a text",
            remedy="save the file as UTF-8 without control characters",
            file=file,
        ) from None  # the cause quotes the character's surroundings
    except (ValueError, OverflowError, RecursionError):
        # PyYAML lets pass what Python makes of an escape beyond Unicode, or of endless nesting.
        message = "not YAML: an escape that is no character, or too many lists within one another"
        raise ConfigError(message, remedy=_AROUND, file=file) from None


def _worded(problem: str) -> str:
    if _FIT_TO_TELL.match(problem):
        return re.split(", but (?:found|got) ", problem, maxsplit=1)[0]
    ours = (words for beginning, words in _WORDED.items() if problem.startswith(beginning))
    return next(ours, "something that may not stand here")


def resolved(text: str) -> Any:
    """Return the number or truth value that ``text`` would be if it stood in a file unquoted."""
    loader = yaml.SafeLoader("")
    tag = loader.resolve(ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return _scalar(ScalarNode(tag, text))


_Expand = Callable[[str, Place, int, list[Problem]], str]


def _value(node: Node, place: Place, document: Document, expand: _Expand) -> Any:
    document.lines.setdefault(place, _line(node))
    match node:
        case MappingNode():
            return _mapping(node, place, document, expand)
        case SequenceNode():
            return [
                _value(item, (*place, position), document, expand)
                for position, item in enumerate(node.value)
            ]
        case _:
            if node.tag not in _PLAIN | _AS_TEXT | {_TEXT}:
                document.problems.append(Problem(place, _TAG, "put the value in quotes"))
                return None
            if "${" in node.value:
                return Expanded(expand(node.value, place, _line(node), document.problems))
            return _scalar(node)


def _mapping(node: MappingNode, place: Place, document: Document, expand: _Expand) -> Any:
    members: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value
        if not isinstance(key_node, ScalarNode):
            document.problems.append(
                Problem(place, "a setting's name has to be text", line=_line(key_node))
            )
        elif key in members:
            first = document.lines[*place, key]
            document.problems.append(
                Problem(
                    (*place, key),
                    f"set twice, first in line {first}",
                    "take one of the two away",
                    _line(key_node),
                )
            )
        else:
            document.lines[*place, key] = _line(key_node)
            members[key] = _value(value_node, (*place, key), document, expand)
    return members


def _scalar(node: Node) -> Any:
    if node.tag not in _PLAIN:
        return node.value
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except ValueError:  # looks like a number and is none, such as `0b_`
        return node.value


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _expander(environ: Mapping[str, str]) -> _Expand:
    def expand(text: str, place: Place, line: int, problems: list[Problem]) -> str:
        def replacement(found: re.Match[str]) -> str:
            name = found["name"]
            if found[0] == "$${":
                return "${"
            if name is None:
                problems.append(
                    Problem(
                        place,
                        "'${' begins the name of a variable, but no NAME} follows",
                        "write ${NAME}, or $${ for these two characters themselves",
                        line,
                    )
                )
                return ""
            if name not in environ:
                problems.append(
                    Problem(
                        place,
                        f"the environment variable {name} is not set",
                        f"set it, or write $${{{name}}} for that text itself",
                        line,
                    )
                )
                return ""
            return environ[name]

        return _VARIABLE.sub(replacement, text)

    return expand
