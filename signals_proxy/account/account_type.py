"""Account types: what may be in an account, what of it is secret, and what decides where it leads.

Rules of the file: all errors of an account are found in one go, and all of them are worded here.
The validator's own messages are never used, for they quote the value. No detail shows the value of
a secret, of an unknown attribute (it may be a misspelt secret), or anything that holds either.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker, validators

from signals_proxy.account.body import Json
from signals_proxy.account.findings import Findings, texts
from signals_proxy.account.formats import FORMATS
from signals_proxy.account.ref import Ref
from signals_proxy.errors import InvalidAccount
from signals_proxy.secret import REDACTED, Secret

__all__ = ["SEALED_TEXT", "Account", "AccountType", "Draft", "FromFile"]

SEALED_TEXT: Final = "$sealed"
"""The member of an account file that holds all of its secrets, sealed."""

_MAX_GUESSES: Final = 16
"""How many errors there may be before unknown attributes are told without a suggestion."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account whose secrets are open. Only validating and opening make one.

    ``public`` are the attributes that are not secret, defaults included; ``file`` is the hash of
    the sealed text of an account file, if that is where the secrets came from.
    """

    ref: Ref
    public: Mapping[str, Json]
    secrets: Mapping[str, Secret]
    file: str | None = None


@dataclass(frozen=True, slots=True)
class FromFile:
    """What the sealed text of an account file says beside the secrets in it.

    ``hash`` is that of the text; ``destination`` is what :meth:`AccountType.destination` was when
    it was sealed, and has to be still.
    """

    hash: str
    destination: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a body asks an account to become; nothing of it is checked yet.

    ``attributes`` are as sent, without secrets and ``null``; ``unstored`` are secrets to be kept
    that are not there; ``before`` is the account that the kept ones come from; ``file`` is set if
    the sent ones come from the sealed text of an account file.
    """

    ref: Ref
    attributes: Mapping[str, Json] = field(repr=False)
    sent: Mapping[str, Secret]
    kept: Mapping[str, Secret]
    unstored: frozenset[str]
    before: Account | None
    file: FromFile | None = None


class AccountType:
    """One account type: the questions that its schema answers."""

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        """Take a schema that is whole in itself and has been checked (``schema.load``)."""
        attributes: Mapping[str, Mapping[str, Any]] = schema["properties"]
        self.name = name
        self.schema = schema
        self.secrets = frozenset(n for n, a in attributes.items() if a.get("writeOnly"))
        self.destinations = frozenset(n for n, a in attributes.items() if a.get("x-destination"))
        self.public = frozenset(attributes) - self.secrets
        self._stored = {n: _stored_form(a) for n, a in attributes.items()}
        self._defaults = {n: a["default"] for n, a in attributes.items() if "default" in a}

    def validate(self, draft: Draft) -> Account:
        """Return the account, normalised and with its defaults.

        Raises ``InvalidAccount`` with every error of the draft: those of single attributes, of
        attributes together, and every kept secret that the destination lock asks for again.
        """
        findings = Findings(self._stored, draft.sent)
        public = dict(self._checked(draft, findings))
        self._check_secrets(draft, findings)
        self._check_together(public.keys() | draft.sent.keys() | draft.kept.keys(), findings)
        public = {n: public.get(n, self._defaults.get(n)) for n in self._stored}
        public = {n: value for n, value in public.items() if value is not None}
        self._check_destination(draft, public, findings)
        if draft.file is not None and draft.file.destination != self.destination(public):
            findings.add(SEALED_TEXT, "Was sealed for another destination; seal the file anew")
        if findings.details:
            raise InvalidAccount(findings.details)
        return Account(draft.ref, public, {**draft.kept, **draft.sent}, _file(draft))

    def destination(self, public: Mapping[str, Json]) -> dict[str, Json]:
        """Return the public attributes that decide where secrets travel to.

        Those that have their default are left out, so that a later version can add one without
        parting the account files that were sealed before from their accounts.
        """
        return {
            name: public[name]
            for name in sorted(self.destinations & self.public)
            if name in public and public[name] != self._defaults.get(name)
        }

    def mapping(self) -> dict[str, Any]:
        """Return the index's properties for the public attributes that can be searched."""
        found = {n: _indexed(self._stored[n]) for n in sorted(self.public)}
        return {name: properties for name, properties in found.items() if properties}

    def _checked(self, draft: Draft, findings: Findings) -> Iterator[tuple[str, Json]]:
        for name, sent in draft.attributes.items():
            if name == "type":
                if not isinstance(sent, str) or sent.lower() != self.name:
                    findings.add(name, "Invalid value", value=sent, expected=self.name)
            elif name not in self.public:
                # Comparing is slow, and a body can hold thousands of names.
                near = self._nearest(name) if len(findings.details) < _MAX_GUESSES else None
                guess = f"; did you mean '{near}'?" if near else ""
                findings.add(name, "Unknown attribute" + guess)
            else:
                value = _normalised(sent, self._stored[name])
                self._check_value(name, value, findings)
                yield name, value

    def _nearest(self, name: str) -> str | None:
        return next(iter(difflib.get_close_matches(name[:64].lower(), self._stored, n=1)), None)

    def _check_value(self, name: str, value: Json, findings: Findings) -> None:
        stored = self._stored[name]
        if any(REDACTED in text for text in texts(value)):
            findings.add(name, f"'{REDACTED}' stands for a stored secret, and for nothing else")
        elif stored.get("format") != "pem-certificates" and any(
            "-----BEGIN" in text for text in texts(value)
        ):
            findings.add(name, "A PEM block does not belong here")
        else:
            for error in _errors(stored, value):
                place = ".".join(str(part) for part in (name, *error.absolute_path))
                shown = error.instance if _repeatable(error.schema) else None
                findings.add(place, "Invalid value", value=shown, expected=_expected(error))

    def _check_secrets(self, draft: Draft, findings: Findings) -> None:
        for name, secret in draft.sent.items():
            value = secret.reveal()
            if any(REDACTED in text for text in texts(value)):
                findings.add(name, f"'{REDACTED}' cannot stand for a part of a secret")
                continue
            for error in _errors(self._stored[name], value):
                findings.add(name, "Invalid value", expected=_expected(error))
        for name in sorted(draft.unstored):
            findings.add(name, f"'{REDACTED}' keeps a stored secret, and none is stored")

    def _check_together(self, present: set[str], findings: Findings) -> None:
        for name in self.schema.get("required", ()):
            if name not in present:
                findings.add(name, "Required attribute is missing")
        for name, others in self.schema.get("dependentRequired", {}).items():
            for other in others:
                if name in present and other not in present:
                    findings.add(other, f"A {other} must be specified if a {name} is specified")
        choice = [name for branch in self.schema.get("oneOf", ()) for name in branch["required"]]
        chosen = [name for name in choice if name in present]
        listed = " or ".join(f"'{name}'" for name in choice)
        if choice and not chosen:
            findings.add(choice[0], f"Required attribute is missing: {listed}")
        for name in chosen[1:]:
            findings.add(name, f"Only one may be specified: {listed}; null removes a stored one")

    def _check_destination(
        self, draft: Draft, public: Mapping[str, Json], findings: Findings
    ) -> None:
        """The destination lock: who does not know a secret cannot send it elsewhere.

        A default that the stored account does not have yet was in force all the same.
        """
        if draft.before is None:
            return
        before = {**self._defaults, **draft.before.public}
        changed = sorted(
            name
            for name in self.destinations
            if public.get(name) != before.get(name)
            or name in draft.sent
            or (name in draft.before.secrets and name not in draft.kept)
        )
        if changed:
            attributes = ", ".join(f"'{name}'" for name in changed)
            for name in sorted(draft.kept):
                findings.add(
                    name,
                    f"Must be sent again, or removed by null, because the account's destination "
                    f"changed ({attributes})",
                )


def _file(draft: Draft) -> str | None:
    """Return the hash of the account file that all secrets come from, if they do."""
    if draft.file is not None:
        return draft.file.hash
    before = draft.before
    if before is None or draft.sent or draft.kept.keys() != before.secrets.keys():
        return None
    return before.file


# --- what is said of an error --------------------------------------------------------------------


def _repeatable(schema: Mapping[str, Any]) -> bool:
    return "format" not in schema or FORMATS[schema["format"]].repeatable


def _expected(error: Any) -> str:
    """Say what the schema that was not met asks for."""
    schema: Mapping[str, Any] = error.schema
    if error.validator in {"minLength", "maxLength"}:
        return f"{schema.get('minLength', 0)} to {schema['maxLength']} characters"
    if "format" in schema:
        return FORMATS[schema["format"]].expected
    match schema["type"]:
        case "integer":
            bounds = f"{schema['minimum']} to {schema['maximum']}"
            return f"An integer from {bounds}, without fraction and exponent"
        case "array":
            return f"One string or an array of at most {schema['maxItems']}"
        case "object":
            return f"An object of at most {schema['maxProperties']} strings"
        case _:
            return "true or false"


# --- schemas -------------------------------------------------------------------------------------


def _is_integer(_: Any, value: Any) -> bool:
    """An integer as it was written: for JSON Schema `1.0` and `1e2` are integers as well."""
    return isinstance(value, int) and not isinstance(value, bool)


_OF_ELEMENTS: Final = {"items", "propertyNames", "additionalProperties"}
_CHECKER: Final = FormatChecker(formats=())
for _name, _format in FORMATS.items():
    _CHECKER.checks(_name)(
        lambda value, accepts=_format.accepts: not isinstance(value, str) or accepts(value)
    )
_Validator: Final[Any] = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


def _errors(schema: Mapping[str, Any], value: Json) -> Iterable[Any]:
    """Return the validator's errors, for which it has no useful types."""
    if isinstance(value, list | dict):
        limit = schema.get("maxItems", schema.get("maxProperties", 0))
        if len(value) > limit:  # then how many they are is the error, not what each of them is
            schema = {key: schema[key] for key in schema if key not in _OF_ELEMENTS}
    errors: Iterable[Any] = _Validator(schema, format_checker=_CHECKER).iter_errors(value)
    return errors


def _stored_form(attribute: Mapping[str, Any]) -> Mapping[str, Any]:
    """What takes one value or an array of them is stored as an array."""
    return attribute["anyOf"][1] if "anyOf" in attribute else attribute


def _normalised(value: Json, stored: Mapping[str, Any]) -> Json:
    return [value] if isinstance(value, str) and stored["type"] == "array" else value


def _indexed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What an attribute is in the index, as dynamic mapping would have it; empty: not searchable.

    Labels would need a type that Elasticsearch and OpenSearch call differently.
    """
    match stored:
        case {"type": "boolean"}:
            return {"type": "boolean"}
        case {"type": "integer"}:
            return {"type": "long"}
        case {"type": "object"} | {"format": "pem-certificates"}:
            return {}
        case {"format": "date"}:
            return {"type": "date", "format": "strict_date"}
        case _:
            keyword = {"type": "keyword", "ignore_above": 1024}
            return {"type": "text", "fields": {"keyword": keyword}}
