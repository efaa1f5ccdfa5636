"""Schema files as account types, and the mapping of the index that follows from them.

A file of ``schemas/account/`` is a standard JSON Schema (draft 2020-12) and names a type; what all
types share is in ``_common.json``, to which every file refers. ``writeOnly``, the standard's own
word, marks a secret, and ``x-destination`` an attribute that decides where secrets travel to. Ours
as well: ``x-alias``, another name that a public attribute is accepted under; ``x-excludes``, an
attribute, or a member of one, that may not be beside this one; ``x-weak``, of the type as a whole,
what makes an account weak (see ``weakness``).

An object is either one of free names (``additionalProperties`` says what they may hold), or, as a
secret only, one of named strings, or a choice of such objects, told apart by their ``type``.

Rule of the file: a keyword that the validation does not know is refused when the file is loaded.
One that is silently ignored, or a mark on a nested attribute, would be a hole that nobody sees.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError

from signals_proxy.account.account_type import UNCOUNTED, AccountType
from signals_proxy.account.formats import FORMATS
from signals_proxy.account.weakness import check
from signals_proxy.errors import ConfigError, Detail, InvalidAccount

__all__ = ["AccountType", "index_mapping", "load", "named"]

_COMMON: Final = "_common.json"
_PACKAGE: Final = Path(__file__).parent.parent
# In an installed package, and in the repository.
_FOLDERS: Final = (_PACKAGE / "schemas" / "account", _PACKAGE.parent / "schemas" / "account")

_HEAD: Final = {"$schema", "title", "description", "type"}
_TOGETHER: Final = {"required", "dependentRequired", "oneOf", "if", "then"}
_WEAK: Final = "x-weak"
_WORDS: Final = {"title", "description"}
_MARKS: Final = {"default", "writeOnly", "x-destination", "x-alias", "x-excludes"}
_FREE: Final = {"type", "propertyNames", "additionalProperties", "maxProperties"}
_NAMED: Final = {"type", "properties", "required", "additionalProperties"}
_ASSERTIONS: Final = {
    *("type", "format", "minLength", "maxLength", "minimum", "maximum", "enum", "const"),
    *("anyOf", "oneOf", "items", "maxItems", "x-names-ignore-case", *_FREE, *_NAMED),
}
_BOUNDS: Final[Mapping[str, set[str]]] = {
    "string": set(),
    "boolean": set(),
    "integer": {"minimum", "maximum"},
    "array": {"items", "maxItems"},
    "object": set(),
}
_NAME: Final = "[a-z][a-z0-9_]*"


def load(folder: Path | None = None) -> Mapping[str, AccountType]:
    """Return the account types by name, from the files of the package or of another folder.

    Raises ``ConfigError`` for a schema that says something this program does not understand.
    """
    if folder is None:
        folder = next(f for f in _FOLDERS if f.is_dir())
    files = {path.name: _json(path) for path in sorted(folder.glob("*.json"))}
    types = {}
    for name in sorted(files.keys() - {_COMMON}):
        try:
            account_type = _account_type(name.removesuffix(".json"), files)
        except (AttributeError, KeyError, TypeError, ValueError, SchemaError) as exc:
            # What a schema says is no secret.
            raise ConfigError(
                f"not a schema of an account type: {exc}", file=folder / name
            ) from exc
        types[account_type.name] = account_type
    index_mapping(types)  # refuses types that contradict each other
    return types


def named(types: Mapping[str, AccountType], name: str) -> AccountType:
    """Return the type of that name. Raises ``InvalidAccount`` on ``type``, listing those known."""
    if name in types:
        return types[name]
    detail = Detail("Unknown account type", value=name, expected=sorted(types))
    raise InvalidAccount({"type": [detail]})


def index_mapping(types: Mapping[str, AccountType]) -> dict[str, Any]:
    """Return the mapping of the registry's index: nothing but public attributes can be searched.

    Raises ``ConfigError`` if two types have an attribute of one name and of different kinds.
    """
    keyword = {"type": "keyword", **UNCOUNTED}
    properties = {
        "type": {"type": "text", "fields": {"keyword": keyword}, **UNCOUNTED},
        "_name": keyword,
        "_tenant": keyword,
        "_sealed": {"type": "object", "dynamic": False, "properties": {"key": {"type": "keyword"}}},
    }
    for account_type in types.values():
        for name, kind in account_type.mapping().items():
            if properties.setdefault(name, kind) != kind:
                raise ConfigError(f"'{name}' of '{account_type.name}' is not that of other types")
    return {"dynamic": False, "properties": properties}


# --- files ---------------------------------------------------------------------------------------


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as exc:
        raise ConfigError("not JSON", file=path) from exc


def _account_type(name: str, files: Mapping[str, Any]) -> AccountType:
    _require(bool(re.fullmatch("[a-z][a-z0-9-]*", name)), f"'{name}' as a type's name")
    own, common = files[f"{name}.json"], files[_COMMON]
    _require(own["$ref"] == _COMMON and own["unevaluatedProperties"] is False, "another frame")
    frame = {"$ref", "properties", "unevaluatedProperties", _WEAK}
    strange = own.keys() - _HEAD - _TOGETHER - frame
    _require(not strange, f"keyword {sorted(strange)}")
    twice = own["properties"].keys() & common["properties"].keys()
    _require(not twice, f"attribute {sorted(twice)} again")
    attributes = {
        **_inlined(own["properties"], f"{name}.json", files),
        **_inlined(common["properties"], _COMMON, files),
    }
    for attribute, schema in attributes.items():
        _check_attribute(attribute, schema)
    _check_together(own, attributes)
    _check_names(attributes)
    whole = {key: own[key] for key in own if key in _HEAD | _TOGETHER}
    whole |= {"properties": attributes, "additionalProperties": False}
    whole[_WEAK] = [*own.get(_WEAK, ()), *common.get(_WEAK, ())]
    wrong = check(whole[_WEAK], attributes)
    _require(wrong is None, str(wrong))
    Draft202012Validator.check_schema(whole)
    return AccountType(name, whole)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(f"it has {otherwise}")


def _inlined(node: Any, name: str, files: Mapping[str, Any]) -> Any:
    """Replace references by what they point to; what stands beside a reference is added."""
    if not isinstance(node, dict):
        return [_inlined(child, name, files) for child in node] if isinstance(node, list) else node
    inlined = {key: _inlined(node[key], name, files) for key in node if key != "$ref"}
    if "$ref" not in node:
        return inlined
    target_name, _, pointer = node["$ref"].partition("#")
    target = files[target_name or name]
    for step in pointer.split("/")[1:]:
        target = target[step]
    return {**_inlined(target, target_name or name, files), **inlined}


def _check_attribute(name: str, schema: Mapping[str, Any]) -> None:
    _require(bool(re.fullmatch(_NAME, name)) and name != "type", f"attribute '{name}'")
    own = {key: schema[key] for key in schema if key not in _MARKS}
    for part in _parts(own):
        strange = part.keys() - _WORDS - _ASSERTIONS
        _require(not strange, f"'{name}' with {sorted(strange)}")
        kind = str(part.get("type"))
        _require("anyOf" in part or kind in _BOUNDS, f"'{name}' without a type")
        _require(_BOUNDS.get(kind, set()) <= part.keys(), f"'{name}' without bounds")
        _require(part.get("format", "line") in FORMATS, f"'{name}' of an unknown format")
        _require(part.get("minLength", 0) <= part.get("maxLength", 0), f"'{name}' without bounds")
        formed = kind != "string" or part.keys() & {"format", "enum", "const"}
        _require(bool(formed), f"'{name}' without a format")
    _check_shapes(name, own, secret=schema.get("writeOnly", False))
    one, many = schema.get("anyOf", (None, {"items": None}))
    _require(many["items"] == one, f"'{name}' with another choice than one or many")


def _check_shapes(name: str, own: Mapping[str, Any], *, secret: bool) -> None:
    """Check that each object is one of free names, or of named strings, or a choice of those."""
    shapes = own.get("oneOf", [own])
    for part in _parts(own):
        keys = part.keys() - _WORDS
        if "oneOf" in part:
            kinds = {s["properties"]["type"]["const"] for s in shapes if "type" in s["required"]}
            fine = keys == {"type", "oneOf"} and len(kinds) == len(shapes)
        elif part.get("type") != "object":
            fine = True
        elif keys == _NAMED:
            plain = all(member["type"] == "string" for member in part["properties"].values())
            fine = secret and part in shapes and part["additionalProperties"] is False and plain
            fine = fine and {*part["required"]} <= part["properties"].keys()
        else:
            fine = part is own and keys - {"x-names-ignore-case"} == _FREE
            fine = fine and part["additionalProperties"]["type"] == "string"
        _require(fine, f"'{name}' with another kind of object")


def _parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schema and all that are within it."""
    yield schema
    within = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    within += schema.get("properties", {}).values()
    within += [schema[key] for key in ("items", "propertyNames") if key in schema]
    within += [s for s in [schema.get("additionalProperties", False)] if s is not False]
    for child in within:
        yield from _parts(child)


def _check_together(schema: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
    choice = [name for branch in schema.get("oneOf", ()) for name in branch["required"]]
    pairs = schema.get("dependentRequired", {})
    used = {*choice, *schema.get("required", ()), *pairs, *(o for p in pairs.values() for o in p)}
    if "if" in schema or "then" in schema:
        condition, then = schema["if"], schema["then"]
        (name,) = condition["required"]
        pattern = {"type": "string", "pattern": condition["properties"][name]["pattern"]}
        plain = condition == {"required": [name], "properties": {name: pattern}}
        # What is said of a condition tells whether it is met: a secret cannot be in one.
        plain = plain and not attributes.get(name, {}).get("writeOnly")
        _require(plain and then.keys() == {"description", "required"}, "another condition")
        used |= {name, *then["required"]}
    _require(used <= attributes.keys(), f"rules on {sorted(used - attributes.keys())}")
    single = all({*branch} == {"required"} for branch in schema.get("oneOf", ()))
    _require(single and len(choice) == len(schema.get("oneOf", ())), "a choice of more than names")


def _check_names(attributes: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the marks that name something: aliases, and what excludes what."""
    taken = {"type", *attributes}
    for name, schema in attributes.items():
        if "x-alias" in schema:
            alias = schema["x-alias"]
            # A secret is told from other attributes by its one name.
            fine = not schema.get("writeOnly") and re.fullmatch(_NAME, alias) and alias not in taken
            _require(bool(fine), f"'{name}' with the alias '{alias}'")
            taken.add(alias)
        if "x-excludes" in schema:
            other, _, member = schema["x-excludes"].partition(".")
            its = attributes.get(other, {})
            fine = its.get("writeOnly") and its.get("x-names-ignore-case") if member else bool(its)
            _require(
                bool(fine) and other != name, f"'{name}' that excludes '{schema['x-excludes']}'"
            )
