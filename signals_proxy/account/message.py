"""What may be sent through an account of each type: the schemas of messages.

Rules of the file: all errors of a message are found in one go. None repeats what was sent: a message
is not for whoever reads logs. What is too long is told with the limit, which is the service's own:
what it would refuse is an alert lost.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError

from signals_proxy.account.body import Json
from signals_proxy.account.formats import FORMATS as OF_ACCOUNTS
from signals_proxy.account.formats import Format
from signals_proxy.account.values import MISSING, Validator, checking
from signals_proxy.errors import ConfigError, Detail, InvalidMessage

__all__ = ["FORMATS", "MessageSchema", "load"]

_PACKAGE: Final = Path(__file__).parent.parent
# In an installed package, and in the repository.
_FOLDERS: Final = (_PACKAGE / "schemas" / "message", _PACKAGE.parent / "schemas" / "message")
_MOST: Final = 100
FORMATS: Final = {
    **OF_ACCOUNTS,
    # The body of a message is always encoded; alerts quote logs with all that is in them.
    "prose": Format(lambda text: "\0" not in text, "A string without NUL characters"),
}
_CHECKER: Final = checking(FORMATS)


class MessageSchema:
    """The schema of the messages of one account type."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Take a schema that has been checked; see :func:`load`."""
        self.schema = schema
        self._validator = Validator(schema, format_checker=_CHECKER)

    def validate(self, message: Mapping[str, Json]) -> None:
        """Raise :class:`InvalidMessage` with everything that is wrong with a message."""
        details: dict[str, list[Detail]] = {}
        for place, detail in self._problems(message):
            found = details.setdefault(place, [])
            if detail not in found:
                found.append(detail)
            if len(details) == _MOST:
                break
        if details:
            raise InvalidMessage(details)

    def _problems(self, message: Mapping[str, Json]) -> Iterator[tuple[str, Detail]]:
        for error in self._validator.iter_errors(message):
            path = [str(part) for part in error.absolute_path]
            match error.validator:
                case "required":
                    for name in error.validator_value:
                        if name not in error.instance:
                            yield ".".join([*path, name]), Detail(MISSING)
                case "additionalProperties" if error.validator_value is False:
                    for name in error.instance.keys() - error.schema.get("properties", {}).keys():
                        yield ".".join([*path, str(name)[:64]]), Detail("Unknown attribute")
                case "anyOf" | "oneOf" if all("required" in it for it in error.validator_value):
                    choice = [name for it in error.validator_value for name in it["required"]]
                    wanted = " or ".join(f"'{name}'" for name in choice)
                    only = "Only one may be specified" if choice[0] in error.instance else MISSING
                    yield ".".join([*path, choice[0]]), Detail(f"{only}: {wanted}")
                case _:
                    yield ".".join(path), Detail("Invalid value", expected=_expected(error))


def load(folder: Path | None = None) -> Mapping[str, MessageSchema]:
    """Return the schemas by account type, from the files of the package or of another folder.

    Raises ``ConfigError`` for what is no JSON Schema.
    """
    if folder is None:
        folder = next(f for f in _FOLDERS if f.is_dir())
    schemas = {}
    for file in sorted(folder.glob("*.json")):
        try:
            schema = json.loads(file.read_bytes())
            Draft202012Validator.check_schema(schema)
            schema = _inlined(schema, schema.pop("$defs", {}))
        except (KeyError, ValueError, SchemaError) as error:
            raise ConfigError("not a schema of messages", file=file) from error
        schemas[file.stem] = MessageSchema(schema)
    return schemas


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Replace references to definitions by what they point to: so that a schema fits anywhere."""
    if isinstance(node, list):
        return [_inlined(child, definitions) for child in node]
    if not isinstance(node, dict):
        return node
    inlined = {key: _inlined(child, definitions) for key, child in node.items() if key != "$ref"}
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        return {**_inlined(target, definitions), **inlined}
    return inlined


def _expected(error: Any) -> str:
    """Say what the schema that was not met asks for; its own words, where it has some."""
    schema: Mapping[str, Any] = error.schema
    limit = error.validator_value
    match error.validator:
        case "maxLength":
            return f"At most {limit:,} characters"
        case "minLength":
            return f"At least {limit} characters"
        case "maxItems" | "maxProperties":
            return f"At most {limit:,} of them"
        case "minItems" | "minProperties":
            return f"At least {limit} of them"
        case "minimum" | "maximum":
            return f"{schema.get('minimum', '…')} to {schema.get('maximum', '…')}"
        case "format":
            return FORMATS[limit].expected
        case "enum" | "const":
            choice = limit if error.validator == "enum" else [limit]
            return f"One of {', '.join(json.dumps(each) for each in choice)}"
        case "type":
            kinds = [limit] if isinstance(limit, str) else limit
            return f"JSON of type {' or '.join(kinds)}"
        case _:
            return str(schema.get("$comment") or schema.get("description") or "See the schema")
