"""From what a file says to checked values: the schema decides, the sentences are ours.

Rules of the file:

- It knows the schema's words and no setting by name: a new setting is a new entry of the schema.
- Every problem of a file is found in one go; of several at one place, the first is told.
- No message quotes a value, nor one of jsonschema's own messages, which do.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from signals_proxy.config import units
from signals_proxy.config.document import Document, Expanded, Place, Problem, resolved
from signals_proxy.config.sources import Sources
from signals_proxy.errors import ConfigError
from signals_proxy.pattern import pattern_keyword
from signals_proxy.secret import Secret

__all__ = ["checked", "schema", "settings_of"]

Schema = Mapping[str, Any]

_FILE: Final = "_file"
_READ: Final = {
    "address": units.address,
    "duration": units.duration,
    "fingerprint": units.fingerprint,
    "network": units.network,
    "node": units.node,
    "size": units.size,
}
_TYPES: Final = {
    "array": "a list",
    "boolean": "true or false",
    "object": "a group of settings, indented below it",
}


@cache
def schema() -> Schema:
    """Return the list of all settings: ``schemas/config.json``."""
    inside = Path(__file__).parents[1] / "schemas"  # in a wheel; in a checkout beside the package
    folder = inside if inside.is_dir() else Path(__file__).parents[2] / "schemas"
    found: Schema = json.loads((folder / "config.json").read_text("utf-8"))
    return found


def checked(
    document: Document, folder: Path, sources: Sources, *, private: bool
) -> dict[str, Any] | None:
    """Return the settings of ``document`` as values, defaults filled in, or None.

    None means that ``document.problems`` holds at least one problem. Durations become seconds,
    sizes bytes, paths absolute (relative ones are looked up in ``folder``), secrets
    :class:`~signals_proxy.secret.Secret`, lists tuples. ``private`` tells whether the file's owner
    alone may read it: otherwise no secret may stand in it.
    """
    whole = _Reader(document, folder, sources, private).read(document.data or {}, schema(), ())
    for error in _VALIDATOR(schema()).iter_errors(whole):
        document.problems.extend(_worded(error))
    if document.problems:
        return None
    values: dict[str, Any] = _value(whole, schema(), folder)
    return values


def settings_of(
    part: Schema, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Yield every setting below ``part`` of the schema with its place; groups are not settings."""
    for name, raw in part["properties"].items():
        member = _followed(raw)
        if "properties" in member:
            yield from settings_of(member, (*place, name))
        else:
            yield (*place, name), member


class _Reader:
    """Brings a file's values into the schema's one form: no nulls, lists as lists, no twins."""

    def __init__(self, document: Document, folder: Path, sources: Sources, private: bool) -> None:
        self._document = document
        self._folder = folder
        self._sources = sources
        self._private = private

    def read(self, value: Any, part: Schema, place: Place) -> Any:
        types = part.get("type", ())
        if isinstance(value, dict) and "properties" in part:
            return self._group(value, part, place)
        if isinstance(value, dict) and (each := _of_each(part)):
            return {name: self.read(it, each, (*place, name)) for name, it in value.items()}
        if isinstance(value, str) and "array" in types:
            value = [value]
        if isinstance(value, list) and "items" in part:
            item = _followed(part["items"])
            return [self.read(each, item, (*place, at)) for at, each in enumerate(value)]
        if isinstance(value, Expanded) and types in {"integer", "boolean"}:
            return resolved(value)
        if part.get("writeOnly") and not isinstance(value, Expanded) and not self._private:
            self._document.problems.append(
                Problem(
                    place,
                    "a secret in a file that others may use",
                    f"chmod 600 the file, or keep the secret outside of it: {place[-1]}{_FILE},"
                    " or ${NAME} for an environment variable",
                )
            )
        return value

    def _group(self, group: dict[str, Any], part: Schema, place: Place) -> dict[str, Any]:
        known = {name: _followed(raw) for name, raw in part["properties"].items()}
        members = {name: value for name, value in group.items() if value is not None}
        for name, member in known.items():
            if member.get("writeOnly") and isinstance(members.get(name + _FILE), str):
                self._read_twin(members, name, place)
        return {
            name: self.read(value, known.get(name, {}), (*place, name))
            for name, value in members.items()
        }

    def _read_twin(self, members: dict[str, Any], name: str, place: Place) -> None:
        """Replace ``password_file`` by ``password``, for every secret alike."""
        at = (*place, name + _FILE)
        file = self._folder / members.pop(name + _FILE)
        text = name  # stands for the secret where there is a problem
        if name in members:
            self._problem(at, f"{name} is set as well", "set one of the two")
        else:
            try:
                text = self._sources.secret(file).removesuffix("\n").removesuffix("\r")
            except ConfigError as error:
                self._problem(at, str(error), error.remedy or "check the path and its rights")
            members[name] = Expanded(text)
            self._document.lines[*place, name] = self._document.line(at)

    def _problem(self, place: Place, message: str, remedy: str) -> None:
        self._document.problems.append(Problem(place, message, remedy))


def _value(value: Any, part: Schema, folder: Path) -> Any:
    if "properties" in part:
        members = {name: _followed(raw) for name, raw in part["properties"].items()}
        present = {
            name: value.get(name, member.get("default"))
            for name, member in members.items()
            if name in value or "default" in member
        }
        return {name: _value(each, members[name], folder) for name, each in present.items()}
    if each := _of_each(part):
        return {name: _value(it, each, folder) for name, it in value.items()}
    if isinstance(value, list):
        return tuple(_value(each, _followed(part["items"]), folder) for each in value)
    if part.get("writeOnly"):
        return Secret(str(value))
    if part.get("x-unit") == "path":
        return folder / value
    if "x-unit" in part:
        return _READ[part["x-unit"]](value)
    return int(value) if part.get("type") == "integer" else value


def _unit(_: Any, unit: str, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and unit in _READ:
        try:
            _READ[unit](value)
        except ValueError:
            yield ValidationError("of the wrong form")


_VALIDATOR: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"x-unit": _unit, "pattern": pattern_keyword}
)


def _worded(error: ValidationError) -> Iterator[Problem]:
    place: Place = tuple(error.absolute_path)
    part, found = cast("Schema", error.schema), cast("Mapping[str, Any]", error.instance)
    if error.validator == "required":
        for name in part["required"]:
            if name not in found:
                about = _followed(part["properties"][name])["description"]
                yield Problem(
                    (*place, name), "is missing", f"set it: {about[0].lower()}{about[1:-1]}"
                )
    elif error.validator == "additionalProperties":
        names = [*part["properties"], *_twins(part)]
        for name in found:
            if name not in names:
                yield Problem((*place, name), "unknown setting", _suggestion(name, names))
    else:
        yield Problem(place, f"must be {_expected(part)}")


def _expected(part: Schema) -> str:
    if "enum" in part:
        return " or ".join(part["enum"])
    return str(part.get("x-expected") or _TYPES[part["type"]])


def _suggestion(name: str, names: list[str]) -> str:
    if near := difflib.get_close_matches(name, names, 1):
        return f"did you mean '{near[0]}'?"
    elsewhere = [".".join(place) for place, _ in settings_of(schema()) if place[-1] == name]
    if elsewhere:
        return f"did you mean '{elsewhere[0]}'?"
    return f"the settings at this place are: {', '.join(names)}"


def _twins(part: Schema) -> list[str]:
    members = part["properties"].items()
    return [name + _FILE for name, raw in members if _followed(raw).get("writeOnly")]


def _of_each(part: Schema) -> Schema | None:
    """Return what each member of a group is whose names the file is free to choose."""
    found = part.get("additionalProperties")
    return _followed(found) if isinstance(found, dict) else None


def _followed(part: Schema) -> Schema:
    """Return ``part`` with what its ``$ref`` names; words beside the reference win."""
    if "$ref" not in part:
        return part
    return {**schema()["$defs"][part["$ref"].rpartition("/")[2]], **part}
