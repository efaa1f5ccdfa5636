"""Prints the reference page of the account types and their messages, made of schema files alone.

::

    python docs/accounts.py > docs/accounts.md
    python docs/accounts.py FOLDER               of other account types
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from signals_proxy.account import message
from signals_proxy.account.account_type import AccountType
from signals_proxy.account.message import MessageSchema
from signals_proxy.account.schema import load
from signals_proxy.api import published

INTRODUCTION = """\
# Account types

*Made by `docs/accounts.py` from `schemas/`; change those, not this page.*

What can be in an account, by type, and in a message that is sent through it. The same as JSON Schema:
`GET /_signals/account/_schema`, and of messages `GET /_signals/account/_openapi`.

- **required**: every account has it; a secret that is stored may be left out of a PUT.
- **secret**: sealed before it is stored, and shown as `::es_redacted::`. A PUT that leaves it out, or sends
  what is shown, keeps it; `null` removes it.
- **destination**: decides where secrets travel to. If it changes, every secret has to be sent again.
- One string or an array of them is stored as an array. `null` is as good as left out.
- What is weak is accepted, and the answer to the PUT has a `Warning` for it.
"""


def page(types: Mapping[str, AccountType], messages: Mapping[str, MessageSchema]) -> str:
    """Return the page, as Markdown."""
    attributes = [its.schema["properties"] for its in types.values()]
    common = [name for name in attributes[0] if all(name in each for each in attributes)]
    first, *others = types.values()
    weak = [it for it in _weak(first) if all(it in _weak(other) for other in others)]
    parts = [INTRODUCTION, "## Every type\n", _table(first, common), _listed(weak)]
    for account_type in types.values():
        own = [name for name in account_type.schema["properties"] if name not in common]
        title = account_type.schema.get("title", account_type.name)
        parts += [f"## {title}: `{account_type.name}`\n"]
        parts += (
            [f"{account_type.schema['description']}\n"]
            if "description" in account_type.schema
            else []
        )
        parts += [_table(account_type, own)]
        rules = sorted(_rules(account_type))
        rules += [text for text in _weak(account_type) if text not in weak]
        parts += [_listed(rules)]
        if account_type.name in messages:
            parts += _of_messages(messages[account_type.name].schema)
    return "\n".join(filter(None, parts))


def _of_messages(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parts about the messages of a type."""
    yield f"### {schema['title']}\n"
    yield f"{schema['description']}\n"
    rows = ["| member | | what it may be | what it is |", "|---|---|---|---|"]
    for name, member, is_required in _flat(schema):
        about = member.get("description", "") if member.get("description") != _value(member) else ""
        if "default" in member:
            about += f" Default: {_literal(member['default'])}."
        cells = (f"`{name}`", "required" * is_required, _value(member), about.strip())
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    yield "\n".join(rows) + "\n"
    match schema:
        case {"oneOf": choice}:
            yield f"- {_names(choice)} is required, and not more than one.\n"
        case {"anyOf": choice}:
            yield f"- {_names(choice)} is required.\n"
        case {"if": {"properties": its}, "then": then, "else": otherwise}:
            ((name, test),) = its.items()
            values = " or ".join(map(_literal, test["enum"]))
            yield f"- {_names([then])} is required if `{name}` is {values}; else {_names([otherwise])}.\n"


def _flat(schema: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Yield the members of an object and of the objects in it; and whether each is required."""
    for name, member in schema["properties"].items():
        if "properties" in member and member.get("additionalProperties") is False:
            yield from _flat(member, f"{before}{name}.")
        else:
            yield before + name, member, name in schema.get("required", ())


def _names(branches: Sequence[Mapping[str, Any]]) -> str:
    return " or ".join(f"'{name}'" for branch in branches for name in branch["required"])


def _listed(texts: list[str]) -> str:
    return "".join(f"- {text}\n" for text in texts)


def _table(account_type: AccountType, names: list[str]) -> str:
    attributes = account_type.schema["properties"]
    rows = ["| attribute | | what it may be | what it is |", "|---|---|---|---|"]
    for name in names:
        attribute = attributes[name]
        marks = {
            "required": name in account_type.schema.get("required", ()),
            "secret": name in account_type.secrets,
            "destination": name in account_type.destinations,
        }
        about = attribute.get("description", "")
        if "default" in attribute:
            about += f" Default: {_literal(attribute['default'])}."
        if "x-alias" in attribute:
            about += f" Also accepted as `{attribute['x-alias']}`."
        cells = (
            f"`{name}`",
            ", ".join(m for m in marks if marks[m]),
            _value(attribute),
            about.strip(),
        )
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _value(schema: Mapping[str, Any]) -> str:
    """Say in words what may be there."""
    match schema:
        case {"anyOf": [one, {"maxItems": most}]}:
            return f"{_value(one)}; or an array of at most {most} such"
        case {"oneOf": shapes}:
            return "One of: " + "; ".join(f"*{s['title']}*: {_members(s)}" for s in shapes)
        case {"type": "array", "items": its}:
            bounds = f" of at most {schema['maxItems']}" if "maxItems" in schema else ""
            return f"An array{bounds}. Each: {_value(its)}"
        case {"enum": choice}:
            return "One of " + ", ".join(map(_literal, choice))
        case {"const": value}:
            return _literal(value)
        case {"type": "boolean"}:
            return "`true` or `false`"
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"An integer from {least} to {most}"
        case {"propertyNames": names, "additionalProperties": values, "maxProperties": most}:
            if "properties" in values:
                return f"At most {most} by name. Name: {_value(names)}. Each: {_value(values)}"
            distinct = ", each but once in upper or lower case" * ("x-names-ignore-case" in schema)
            return f"At most {most} strings by name{distinct}. Name: {_value(names)}. Value: {_value(values)}"
        case {"properties": _, "additionalProperties": False}:
            return f"An object: {_members(schema)}"
        case {"properties": _}:
            return f"Any object, in which: {_members(schema)}"
        case {"type": "object"}:
            return "Any object"
        case {"type": [*kinds]}:
            return "JSON of type " + " or ".join(kinds)
        case {"pattern": _, "description": text}:
            return str(text)
        case {"format": name}:
            length = f"{schema['minLength']} to " if "minLength" in schema else "at most "
            bounds = f" ({length}{schema['maxLength']} characters)" if "maxLength" in schema else ""
            return message.FORMATS[name].expected + bounds
        case {"type": "string"}:
            return "A string"
        case _:
            raise ValueError(schema)


def _members(schema: Mapping[str, Any]) -> str:
    def told(name: str, member: Mapping[str, Any]) -> str:
        optional = "" if name in schema.get("required", ()) else ", optional"
        return f"`{name}` ({_value(member)}{optional})"

    return ", ".join(told(name, member) for name, member in schema["properties"].items())


def _weak(account_type: AccountType) -> list[str]:
    """Say what makes an account weak, and the warning."""
    return [
        f"Weak if {' and '.join(_test(*it) for it in weak['when'].items())}: *{weak['text']}*"
        for weak in account_type.schema["x-weak"]
    ]


def _test(place: str, test: Mapping[str, Any]) -> str:
    match test:
        case {"const": value}:
            return f"`{place}` is {_literal(value)}"
        case {"pattern": pattern}:
            return f"`{place}` matches `{pattern}`"
        case {"minItems": least}:
            return f"`{place}` has {least} or more"
        case {"x-past": _}:
            return f"`{place}` has come"
        case _:
            return f"`{place}` is set"


def _literal(value: Any) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _rules(account_type: AccountType) -> Iterator[str]:
    """Yield the rules across attributes, as they are published, but for what the table says."""
    schema = published.schema(account_type)
    said = {f"'{name}' is required." for name in account_type.schema.get("required", ())}
    for rule in (*schema.get("allOf", ()), *schema["$defs"]["new"].get("allOf", ())):
        if rule["description"] not in said:
            yield rule["description"]


if __name__ == "__main__":
    sys.stdout.write(page(load(*map(Path, sys.argv[1:2])), message.load()))
