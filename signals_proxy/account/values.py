"""One value against the schema of its attribute: what is wrong with it, and what was expected.

Rule of the file: the validator's own messages are never used, for they quote the value. What is
said of a value is made of the schema alone.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

from signals_proxy.account.body import Json
from signals_proxy.account.formats import FORMATS, Format
from signals_proxy.pattern import pattern_keyword

__all__ = [
    "MISSING",
    "Problem",
    "Validator",
    "checking",
    "fits",
    "members",
    "normalised",
    "problems",
    "same",
    "stored_form",
]

MISSING: Final = "Required attribute is missing"

_OF_ELEMENTS: Final = {"items", "propertyNames", "additionalProperties"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where within the value.

    ``value`` is the wrong part, unless values of its kind often hold secrets.
    """

    path: tuple[str, ...]
    error: str
    expected: str | None = None
    value: Json = None


def problems(schema: Mapping[str, Any], value: Json) -> Iterator[Problem]:
    """Yield all that is wrong with a value, the same thing perhaps more than once."""
    if "oneOf" in schema:
        schema = _shape(schema, value)
    if isinstance(value, list | dict):
        limit = schema.get("maxItems", schema.get("maxProperties", len(value)))
        if len(value) > limit:  # then how many they are is the error, not what each of them is
            schema = {key: schema[key] for key in schema if key not in _OF_ELEMENTS}
    for error in Validator(schema, format_checker=_CHECKER).iter_errors(value):
        path = tuple(str(part) for part in error.absolute_path)
        if error.validator == "required":
            for name in error.validator_value:
                if name not in error.instance:
                    yield Problem((*path, name), MISSING)
        else:
            shown = error.instance if _repeatable(error.schema) else None
            yield Problem(path, "Invalid value", _expected(error), shown)


def fits(schema: Mapping[str, Any], value: Mapping[str, Json]) -> bool:
    """Tell whether attributes are as the condition of a type's ``if`` has it."""
    fitting: bool = Validator(schema).is_valid(value)
    return fitting


def members(schema: Mapping[str, Any]) -> set[str]:
    """Return the names that an object of this schema, or of one of its shapes, may have."""
    return {
        name for shape in schema.get("oneOf", (schema,)) for name in shape.get("properties", ())
    }


def stored_form(attribute: Mapping[str, Any]) -> Mapping[str, Any]:
    """What takes one value or an array of them is stored as an array."""
    return attribute["anyOf"][1] if "anyOf" in attribute else attribute


def normalised(value: Json, stored: Mapping[str, Any]) -> Json:
    """Return a value as it is stored."""
    return [value] if isinstance(value, str) and stored["type"] == "array" else value


def same(one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    """Tell whether two objects are the same in JSON: for Python ``1`` is ``true``."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _shape(schema: Mapping[str, Any], value: Json) -> Mapping[str, Any]:
    """Return the shape that a value says it has, or what asks it to say one of those there are."""
    shapes: dict[str, Mapping[str, Any]] = {
        shape["properties"]["type"]["const"]: shape for shape in schema["oneOf"]
    }
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind in shapes:
        return shapes[kind]
    kinds = {"type": "string", "enum": [*shapes]}
    return {"type": "object", "properties": {"type": kinds}, "required": ["type"]}


def _repeatable(schema: Mapping[str, Any]) -> bool:
    return "format" not in schema or FORMATS[schema["format"]].repeatable


def _expected(error: Any) -> str:
    """Say what the schema that was not met asks for."""
    schema: Mapping[str, Any] = error.schema
    match error.validator, schema:
        case "x-names-ignore-case", _:
            return "Names that differ in more than upper and lower case"
        case "minLength" | "maxLength", _:
            return f"{schema.get('minLength', 0)} to {schema['maxLength']} characters"
        case _, {"format": name}:
            return FORMATS[name].expected
        case _, {"enum": choice}:
            return f"One of {_listed(choice)}"
        case _, {"type": "integer"}:
            bounds = f"{schema['minimum']} to {schema['maximum']}"
            return f"An integer from {bounds}, without fraction and exponent"
        case _, {"type": "array"}:
            return f"One string or an array of at most {schema['maxItems']}"
        case _, {"type": "object", "properties": names}:
            only = "nothing but " if "additionalProperties" in schema else ""
            return f"An object with {only}{_listed(names)}"
        case _, {"type": "object"}:
            return f"An object of at most {schema['maxProperties']} strings"
        case _:
            return "true or false"


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)


# --- the validator, for which its library has no useful types ------------------------------------


def _is_integer(_: Any, value: Any) -> bool:
    """An integer as it was written: for JSON Schema `1.0` and `1e2` are integers as well."""
    return isinstance(value, int) and not isinstance(value, bool)


def _names_ignore_case(_: Any, wanted: bool, value: Any, __: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(value, dict) and len({name.lower() for name in value}) < len(value):
        yield ValidationError("")


def checking(formats: Mapping[str, Format]) -> FormatChecker:
    """Return what asks these formats, by name, about texts."""
    checker = FormatChecker(formats=())
    for name, each in formats.items():
        checker.checks(name)(
            lambda value, accepts=each.accepts: not isinstance(value, str) or accepts(value)
        )
    return checker


_CHECKER: Final = checking(FORMATS)
Validator: Final[Any] = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"x-names-ignore-case": _names_ignore_case, "pattern": pattern_keyword},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)
