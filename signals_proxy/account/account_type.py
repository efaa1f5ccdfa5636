"""Account types: what may be in an account, what of it is secret, and what decides where it leads.

Rules of the file: all errors of an account are found in one go. No detail shows the value of a
secret, of an unknown attribute (it may be a misspelt secret), or anything that holds either.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from signals_proxy.account.body import Json
from signals_proxy.account.findings import Findings, texts
from signals_proxy.account.ref import Ref
from signals_proxy.account.values import (
    MISSING,
    fits,
    members,
    normalised,
    problems,
    same,
    stored_form,
)
from signals_proxy.errors import InvalidAccount
from signals_proxy.secret import REDACTED, Secret

__all__ = ["SEALED_TEXT", "UNCOUNTED", "Account", "AccountType", "Draft", "FromFile"]

SEALED_TEXT: Final = "$sealed"
"""The member of an account file that holds all of its secrets, sealed."""

UNCOUNTED: Final[Mapping[str, str]] = {"similarity": "boolean"}
"""How texts are indexed: scores do not count how many accounts have a word, other tenants' too."""

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
        self._stored = {n: stored_form(a) for n, a in attributes.items()}
        self._defaults = {n: a["default"] for n, a in attributes.items() if "default" in a}
        self._aliases = {a["x-alias"]: n for n, a in attributes.items() if "x-alias" in a}
        self._excludes = {n: a["x-excludes"] for n, a in attributes.items() if "x-excludes" in a}
        self.names = frozenset({*attributes, *self._aliases, "type"})
        self._places = self.names | {f"{n}.{m}" for n in attributes for m in members(attributes[n])}

    def validate(self, draft: Draft) -> Account:
        """Return the account, normalised and with its defaults.

        Raises ``InvalidAccount`` with every error of the draft: those of single attributes, of
        attributes together, and every kept secret that the destination lock asks for again.
        """
        # Who has a file may not know what is sealed in it: what is hidden would confirm a guess.
        findings = Findings(self._places, {} if draft.file else draft.sent)
        public = dict(self._checked(draft, findings))
        self._check_secrets(draft, findings)
        self._check_together(draft, public, findings)
        public = {n: public.get(n, self._defaults.get(n)) for n in self._stored}
        public = {n: value for n, value in public.items() if value is not None}
        self._check_destination(draft, public, findings)
        if draft.file and not same(draft.file.destination, self.destination(public)):
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
        for given, sent in draft.attributes.items():
            name = self._aliases.get(given, given)
            if name == "type":
                # Only ASCII is lowered: the Kelvin sign becomes a 'k'.
                if not (isinstance(sent, str) and sent.isascii() and sent.lower() == self.name):
                    findings.add(name, "Invalid value", value=sent, expected=self.name)
            elif name not in self.public:
                # Comparing is slow, and a body can hold thousands of names.
                near = self._nearest(name) if len(findings.details) < _MAX_GUESSES else None
                guess = f"; did you mean '{near}'?" if near else ""
                findings.add(name, "Unknown attribute" + guess)
            elif name != given and name in draft.attributes:
                findings.add(given, f"Another name of '{name}'; only one of them may be specified")
            else:
                value = normalised(sent, self._stored[name])
                self._check_value(given, self._stored[name], value, findings)
                yield name, value

    def _nearest(self, name: str) -> str | None:
        return next(iter(difflib.get_close_matches(name[:64].lower(), self.names, n=1)), None)

    def _check_value(
        self, name: str, stored: Mapping[str, Any], value: Json, findings: Findings
    ) -> None:
        if any(REDACTED in text for text in texts(value)):
            findings.add(name, f"'{REDACTED}' stands for a stored secret, and for nothing else")
        elif stored.get("format") != "pem-certificates" and any(
            "-----BEGIN" in text for text in texts(value)
        ):
            findings.add(name, "A PEM block does not belong here")
        else:
            for found in problems(stored, value):
                place = ".".join((name, *found.path))
                findings.add(place, found.error, value=found.value, expected=found.expected)

    def _check_secrets(self, draft: Draft, findings: Findings) -> None:
        for name, secret in draft.sent.items():
            value = secret.reveal()
            if any(REDACTED in text for text in texts(value)):
                findings.add(name, f"'{REDACTED}' cannot stand for a part of a secret")
                continue
            for found in problems(self._stored[name], value):
                place = ".".join((name, *found.path))
                # A name that the caller chose is a part of the secret.
                place = place if place in self._places else name
                findings.add(place, found.error, expected=found.expected)
        for name in sorted(draft.unstored):
            findings.add(name, f"'{REDACTED}' keeps a stored secret, and none is stored")

    def _check_together(self, draft: Draft, public: Mapping[str, Json], findings: Findings) -> None:
        secrets = {**draft.kept, **draft.sent}
        present = public.keys() | secrets.keys()
        for name in self.schema.get("required", ()):
            if name not in present:
                findings.add(name, MISSING)
        if "if" in self.schema and fits(self.schema["if"], public):
            for name in self.schema["then"]["required"]:
                if name not in present:
                    findings.add(name, f"{MISSING}: {self.schema['then']['description']}")
        for name, others in self.schema.get("dependentRequired", {}).items():
            for other in others:
                if name in present and other not in present:
                    findings.add(other, f"A {other} must be specified if a {name} is specified")
        for name, excluded in self._excludes.items():
            other, _, member = excluded.partition(".")
            if {name, other} <= present and (not member or _has(secrets[other], member)):
                remedy = f"null for '{other}' removes what is stored"
                findings.add(name, f"Not together with '{excluded}'; {remedy}")
        choice = [name for branch in self.schema.get("oneOf", ()) for name in branch["required"]]
        chosen = [name for name in choice if name in present]
        listed = " or ".join(f"'{name}'" for name in choice)
        if choice and not chosen:
            findings.add(choice[0], f"{MISSING}: {listed}")
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


def _has(secret: Secret, name: str) -> bool:
    """Tell whether a secret is an object with a member of that name, in upper or lower case."""
    value = secret.reveal()
    return isinstance(value, dict) and name.lower() in map(str.lower, value)


def _indexed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What an attribute is in the index, as dynamic mapping would have it; empty: not searchable.

    Labels would need a type that Elasticsearch and OpenSearch call differently.
    """
    match stored:
        case {"type": "boolean"}:
            # Searched in the column of values, where nothing is counted (see UNCOUNTED).
            return {"type": "boolean", "index": False}
        case {"type": "integer"}:
            return {"type": "long"}
        case {"type": "object"} | {"format": "pem-certificates"}:
            return {}
        case {"format": "date"}:
            return {"type": "date", "format": "strict_date"}
        case _:
            keyword = {"type": "keyword", "ignore_above": 1024, **UNCOUNTED}
            return {"type": "text", "fields": {"keyword": keyword}, **UNCOUNTED}
