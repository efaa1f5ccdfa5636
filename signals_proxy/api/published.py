"""What is told of the account types: a JSON Schema (draft 2020-12) of what a PUT of each takes.

Its root holds whatever is stored: secrets may be left out or be the placeholder, for stored ones are
kept. What a new account needs beyond that is in it as well, under the anchor ``new``.

Rules of the file: all of it follows from the types' own schemas. Nothing that is accepted is refused
by what is published; where JSON Schema cannot say what is asked for, a ``$comment`` does.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final, TypeAlias

from signals_proxy.account.account_type import SEALED_TEXT, AccountType
from signals_proxy.account.formats import FORMATS
from signals_proxy.secret import REDACTED

__all__ = ["PATTERNS", "any_case", "schema", "schemas"]

_Schema: TypeAlias = dict[str, Any]
_Attributes: TypeAlias = Mapping[str, Mapping[str, Any]]

_NO_CONTROL: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
PATTERNS: Final[Mapping[str, str]] = {
    "line": f"^[^{_NO_CONTROL}]*$",
    "text": r"^(?:[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]|\r\n)*$",
    "token": "^[!-~]+$",
    "basic-user": f"^[^:{_NO_CONTROL}]*$",
    "header-name": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    "header-value": "^[!-~](?:[ -~]*[!-~])?$",
    "label": "^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$",
    "date": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "host": "^[A-Za-z0-9._:-]+$",
    "http-url": r"^[hH][tT][tT][pP][sS]?://[A-Za-z0-9._:\[\]-]+"
    r"(?:[/?][A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?$",
    "mailbox": r"^.+@[A-Za-z0-9._:\[\]-]+>?$",
    "pem-certificates": r"^\s*-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----\s*$",
    "pem-private-key": r"^\s*-----BEGIN (?:RSA |EC )?PRIVATE KEY-----[\s\S]+"
    r"-----END (?:RSA |EC )?PRIVATE KEY-----\s*$",
}
"""What a text of each format certainly matches, in what Python and ECMA-262 have in common."""

# Where the standard has a format that holds for all that ours accepts.
_STANDARD: Final = {"date": "date", "http-url": "uri"}

_DESCRIPTION: Final = (
    f"As the body of a PUT. A secret ('writeOnly') that is stored is kept if it is left out or sent as"
    f" '{REDACTED}', which stands for it where accounts are read; null removes it. If an attribute"
    f" that decides where secrets travel to ('x-destination') changes, each secret has to be sent"
    f" again or removed. Null is as good as left out for every other attribute. '{SEALED_TEXT}' takes the place of all"
    f" secrets in an account file. What a new account needs beside this is under '#new'."
)
_COMMENT: Final = (
    "x-destination: decides where secrets travel to. x-alias: another name under which the attribute"
    " is accepted. x-excludes: an attribute, or a member of one, that may not be beside this one."
    " x-names-ignore-case: names have to differ in more than upper and lower case. x-weak: what is"
    " accepted, but told of in a Warning: 'text', if all of 'when' is there and passes (x-past: a day"
    " that has come; a dot leads to a member of an attribute). x-format: what kind"
    " of text it is; the $comment beside it says what is accepted, which can be less than what the"
    " pattern lets pass. Integers are written without fraction and exponent."
)
_ABOUT: Final = {
    *("title", "description", "default", "writeOnly"),
    *("x-destination", "x-alias", "x-excludes"),
}
_KEPT: Final = {"const": REDACTED, "description": "Keeps the stored secret."}
_REMOVED: Final = {"type": "null", "description": "Removes the stored secret."}
_LEFT_OUT: Final = {"type": "null", "description": "As if it were left out."}


def schemas(types: Mapping[str, AccountType]) -> dict[str, Any]:
    """Return the published schema of each type, by its name."""
    return {name: schema(account_type) for name, account_type in types.items()}


def schema(account_type: AccountType) -> dict[str, Any]:
    """Return what is published of a type: a schema that refers to nothing but itself."""
    own, secrets = account_type.schema, sorted(account_type.secrets)
    title = own.get("title", account_type.name)
    rules: tuple[list[_Schema], list[_Schema]] = ([], [])
    for text, rule, only_new in _rules(account_type):
        rules[only_new].append({"description": text, **rule})
    root: _Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"/_signals/account/_schema/{account_type.name}",
        "title": title,
        "description": f"{own.get('description', title)} {_DESCRIPTION}",
        "$comment": _COMMENT,
        "type": "object",
        "properties": {
            **_properties(own["properties"], _needed(account_type)),
            **_frame(account_type),
        },
        "required": _needed(account_type),
        "additionalProperties": False,
        "x-weak": own["x-weak"],
    }
    new: _Schema = {
        "$anchor": "new",
        "title": f"{title}: a new account",
        "description": "Nothing is stored that could be kept.",
        "$ref": "#",
        "properties": {name: {"not": {"const": REDACTED}} for name in secrets},
    }
    if secrets:
        beside = {"description": "No secret stands beside it."}
        no_secret = {"properties": dict.fromkeys(secrets, False)}
        root["dependentSchemas"] = {SEALED_TEXT: {**beside, **no_secret}}
    for whole, its in zip((root, new), rules, strict=True):
        if its:
            whole["allOf"] = its
    return {**root, "$defs": {"new": new}}


def any_case(text: str) -> str:
    """Return a regular expression for an ASCII text in upper and lower case: ECMA has no flag."""
    return "".join(f"[{c}{c.upper()}]" if c.isalpha() else f"[{c}]" for c in text.lower())


# --- attributes ----------------------------------------------------------------------------------


def _needed(account_type: AccountType) -> list[str]:
    """What is in every body: neither kept, as a secret is, nor to be had under another name."""
    attributes: _Attributes = account_type.schema["properties"]
    required = account_type.schema.get("required", ())
    return [n for n in required if n in account_type.public and "x-alias" not in attributes[n]]


def _properties(attributes: _Attributes, needed: list[str]) -> dict[str, _Schema]:
    properties = {}
    for name, attribute in attributes.items():
        about = {key: attribute[key] for key in attribute if key in _ABOUT}
        value = _told({key: attribute[key] for key in attribute if key not in _ABOUT})
        if attribute.get("writeOnly"):
            value = {"anyOf": [value, _KEPT, _REMOVED]}
        elif name not in needed:
            value = {"anyOf": [*value.get("anyOf", [value]), _LEFT_OUT]}
        properties[name] = {**about, **value}
        if "x-alias" in attribute:
            alias = {"description": f"Another name of '{name}'.", **value}
            properties[attribute["x-alias"]] = alias
    return properties


def _told(node: Any) -> Any:
    """Return a schema with our formats in the standard's words."""
    if isinstance(node, list):
        return [_told(child) for child in node]
    if not isinstance(node, dict):
        return node
    told = {key: _told(child) for key, child in node.items()}
    name = node.get("format")
    if isinstance(name, str):
        del told["format"]
        told |= {"pattern": PATTERNS[name], "x-format": name, "$comment": FORMATS[name].expected}
        if name in _STANDARD:
            told["format"] = _STANDARD[name]
    return told


def _frame(account_type: AccountType) -> dict[str, _Schema]:
    """What may be in a body and is no attribute."""
    frame: dict[str, _Schema] = {
        "type": {
            "description": "The account's type, as the path has it.",
            "type": ["string", "null"],
            "pattern": f"^{any_case(account_type.name)}$",
        },
        "_id": {"description": "Accepted and dropped: the path says it."},
        "_name": {"description": "The account's id in account files. In a PUT dropped."},
        "_tenant": {"description": "The account's tenant in account files. In a PUT dropped."},
    }
    if account_type.secrets:
        frame[SEALED_TEXT] = {
            "title": "Sealed secrets",
            "description": "All secrets of the account, as 'signals-proxy seal' makes it.",
            "type": "string",
            "pattern": r"^signals-proxy-sealed-1\.[0-9a-f]{32}\.[A-Za-z0-9_-]+$",
        }
    return frame


# --- rules across attributes ---------------------------------------------------------------------


def _rules(account_type: AccountType) -> Iterator[tuple[str, _Schema, bool]]:
    """Yield each rule in words and as a schema, and whether it holds for new accounts only.

    It does if it asks for a secret, for that may be stored.
    """
    own, secrets = account_type.schema, account_type.secrets
    attributes: _Attributes = own["properties"]

    def present(name: str, value: Mapping[str, Any] | None = None) -> _Schema:
        names = [name, attributes[name].get("x-alias")]
        value = value or {"not": {"type": "null"}}
        return _any({"required": [n], "properties": {n: value}} for n in names if n)

    def needed(*names: str) -> _Schema:
        sealed = [{"required": [SEALED_TEXT]}] if secrets & {*names} else []
        return _any([*map(present, names), *sealed])

    for name in own.get("required", ()):
        if name not in _needed(account_type):
            yield f"'{name}' is required.", needed(name), name in secrets
    if "if" in own:
        ((name, value),) = own["if"]["properties"].items()
        for other in own["then"]["required"]:
            text = (
                f"'{other}' is required by some values of '{name}': {own['then']['description']}."
            )
            yield text, {"if": present(name, value), "then": needed(other)}, other in secrets
    for name, others in own.get("dependentRequired", {}).items():
        for other in others:
            rule = {"if": present(name), "then": needed(other)}
            yield f"'{name}' needs '{other}'.", rule, other in secrets
    for name, attribute in attributes.items():
        if "x-alias" in attribute:
            names = [name, attribute["x-alias"]]
            given = {n: {"not": {"type": "null"}} for n in names}
            both = {"required": names, "properties": given}
            text = f"'{attribute['x-alias']}' is another name of '{name}': not both."
            yield text, {"not": both}, False
        if "x-excludes" in attribute:
            other, _, member = attribute["x-excludes"].partition(".")
            excluded = present(other, _has(member) if member else None)
            text = f"'{name}' may not be beside '{attribute['x-excludes']}'."
            yield text, {"not": {"allOf": [present(name), excluded]}}, False
    choice = [name for branch in own.get("oneOf", ()) for name in branch["required"]]
    for pair in combinations(choice, 2):
        text = f"'{pair[0]}' may not be beside '{pair[1]}'."
        yield text, {"not": {"allOf": [*map(present, pair)]}}, False
    if choice:
        listed = " or ".join(f"'{name}'" for name in choice)
        yield f"{listed} is required.", needed(*choice), bool(secrets & {*choice})


def _any(choice: Any) -> _Schema:
    """Return what one of the schemas is enough for."""
    first, *others = choice
    return {"anyOf": [first, *others]} if others else first


def _has(member: str) -> _Schema:
    """Return what an object with such a member fits, in upper or lower case."""
    other_names = {"propertyNames": {"not": {"pattern": f"^{any_case(member)}$"}}}
    return {"type": "object", "not": other_names}
