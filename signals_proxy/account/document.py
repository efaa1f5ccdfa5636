"""An account as a document of the index, and what a PUT makes of it.

Rule of the file: a stored document is what somebody wrote who may not be us. Nothing here trusts
its shape; that it is genuine is known of an :class:`Account` only, which ``sealing`` made of it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from signals_proxy.account.account_type import SEALED_TEXT, Account, AccountType, Draft, FromFile
from signals_proxy.account.body import Json
from signals_proxy.account.ref import Ref
from signals_proxy.account.values import same
from signals_proxy.errors import Detail, InvalidAccount, NewerAccount, SealingError
from signals_proxy.secret import REDACTED, Secret

__all__ = [
    "RESERVED",
    "SEALED",
    "Account",
    "Draft",
    "SealedAccount",
    "Unopened",
    "changes_nothing",
    "identity",
    "merge",
    "redact",
]

SEALED: Final = "_sealed"
"""The member of a stored document that holds the box and what belongs to it."""

RESERVED: Final = frozenset({"type", "_name", "_tenant", SEALED})
"""The members of a stored document that are no attributes of the account."""

_ATTRIBUTE: Final = re.compile("[a-z][a-z0-9_]*")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DROPPED: Final = frozenset({"_id", "_name", "_tenant"})


@dataclass(frozen=True, slots=True)
class SealedAccount:
    """An account as it is stored: which one, by its ``_id``, and the whole ``_source``."""

    ref: Ref
    source: Mapping[str, Json] = field(repr=False)  # one that nobody sealed may hold clear secrets


@dataclass(frozen=True, slots=True)
class Unopened:
    """A stored account that cannot be opened, and why."""

    sealed: SealedAccount
    reason: SealingError


def identity(ref: Ref) -> dict[str, Json]:
    """Return the members of a stored document that say which account it is."""
    members: dict[str, Json] = {"type": ref.type, "_name": ref.id}
    return members if ref.tenant is None else {**members, "_tenant": ref.tenant}


def merge(
    body: Mapping[str, Json],
    before: Account | Unopened | None,
    account_type: AccountType,
    ref: Ref,
    opened: tuple[Mapping[str, Secret], FromFile] | None = None,
) -> Draft:
    """Return what ``body`` asks for: a secret left out or redacted is kept, ``null`` removes it.

    ``opened`` is what ``file.open_text`` made of the body's ``$sealed``: all secrets there will be.

    Raises the reason of ``before`` (a ``SealingError``) if it could not be opened, unless the body
    has a ``$sealed``, or says what becomes of each secret that it lists or shows, and of one at
    least; ``NewerAccount`` if the account has attributes that this version would drop;
    ``InvalidAccount`` for secrets beside ``$sealed``, and for some in it that the type does not have.
    """
    in_file, file = opened or ({}, None)
    dropped = _DROPPED if file is None else _DROPPED | {SEALED_TEXT}
    given = {name: value for name, value in body.items() if name not in dropped}
    named = given.keys() & account_type.secrets
    _refuse_beside(body, named, in_file, account_type)
    redacted = {name for name in named if given[name] == REDACTED}
    removed = {name for name in named if given[name] is None}
    sent = named - redacted - removed
    stored: Mapping[str, Secret] = {}
    if isinstance(before, Unopened):
        unsaid = _secret_names(before.sealed, account_type) - sent - removed
        # What it lists is the word of whoever wrote it: with an empty list, an edit that means to
        # keep every secret would make a verified account that leads where he wants.
        if file is None and (unsaid or not (sent or removed)):
            raise before.reason
        before = None
    elif before is not None:
        _refuse_to_drop(before, account_type)
        stored = before.secrets if file is None else {}
    return Draft(
        ref=ref,
        attributes={
            name: value
            for name, value in given.items()
            if name not in named and (value is not None or name not in account_type.names)
        },
        sent={**in_file, **{name: Secret(given[name]) for name in sorted(sent)}},
        kept={name: stored[name] for name in sorted(stored.keys() - sent - removed)},
        unstored=frozenset(redacted - stored.keys()),
        before=before,
        file=file,
    )


def changes_nothing(draft: Draft, account: Account) -> bool:
    """Tell whether storing the account, validated from the draft, would be a ``noop``.

    A draft with a secret in clear is a change, whatever the secret: the answer must not tell
    whether it was guessed right. One from an account file is none if it is the very text that was
    stored last.
    """
    before = draft.before
    return (
        before is not None
        and (not draft.sent if draft.file is None else draft.file.hash == before.file)
        and account.secrets.keys() == before.secrets.keys()
        and same(account.public, before.public)
    )


def redact(sealed: SealedAccount, account_type: AccountType) -> dict[str, Json]:
    """Return what may be shown of a stored document, genuine or not.

    Each secret that it has, sealed or in the clear, shows as ``::es_redacted::``; so does what
    this version does not know to be public, and a public attribute of a shape that none has. The
    answer can always be written as JSON.
    """
    shown = identity(sealed.ref)
    for name in (*sealed.source, *sorted(_sealed_names(sealed))):
        if name not in shown and _ATTRIBUTE.fullmatch(name):
            value = sealed.source.get(name, REDACTED)
            public = name in account_type.public and _is_plain(value)
            shown[name] = value if public else REDACTED
    return shown


def _refuse_beside(
    body: Mapping[str, Json],
    named: Collection[str],
    in_file: Mapping[str, Secret],
    account_type: AccountType,
) -> None:
    """Refuse secrets that are said twice, and what whoever has the public key may have sealed."""
    if SEALED_TEXT in body and named:
        beside = Detail(f"'{SEALED_TEXT}' stands for all secrets: none may stand beside it")
        raise InvalidAccount({name: [beside] for name in sorted(named)})
    if in_file.keys() - account_type.secrets:  # their names are somebody's who may not be trusted
        unknown = Detail(f"Holds something that is no secret of the type {account_type.name}")
        raise InvalidAccount({SEALED_TEXT: [unknown]})


def _secret_names(sealed: SealedAccount, account_type: AccountType) -> set[str]:
    """What a document that cannot be opened may hold of secrets: those it lists or shows."""
    return {*_sealed_names(sealed), *sealed.source} & account_type.secrets


def _sealed_names(sealed: SealedAccount) -> set[str]:
    part = sealed.source.get(SEALED)
    names = part.get("secrets") if isinstance(part, dict) else None
    return {n for n in names if isinstance(n, str)} if isinstance(names, list) else set()


def _refuse_to_drop(before: Account, account_type: AccountType) -> None:
    unknown = before.public.keys() - account_type.public
    unknown |= before.secrets.keys() - account_type.secrets
    if unknown:
        raise NewerAccount(
            f"The account has attributes that this version does not know and would drop: "
            f"{', '.join(sorted(unknown))}. Use a newer version, or delete the account first."
        )


def _is_plain(value: Json) -> bool:
    """Tell whether it is made as all public attributes are: of one level, of text and integers."""
    within = [*value, *value.values()] if isinstance(value, dict) else value
    return all(
        not _LONE_SURROGATE.search(leaf)
        if isinstance(leaf, str)
        else leaf is None or isinstance(leaf, int)
        for leaf in (within if isinstance(within, list) else [within])
    )
