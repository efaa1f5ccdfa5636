"""The accounts of a tenant, as a search shows them to a command, page by page.

Rules of the file: a list is whole, or an error. What may be no account is left out, and so is a type
that this version does not know.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast
from urllib.parse import quote

from signals_proxy.account.account_type import AccountType
from signals_proxy.account.body import Json
from signals_proxy.account.document import identity
from signals_proxy.account.file import ref_of
from signals_proxy.account.ref import Ref
from signals_proxy.cli.changes import ACCOUNTS
from signals_proxy.cli.remote import Remote
from signals_proxy.cli.voice import tell
from signals_proxy.errors import InvalidAccount, Refused

__all__ = ["listing"]

_PAGE: Final = 10
"""Accounts of one page: as many as a registry gives however large they are."""

_MOST: Final = 100_000
"""Accounts of a tenant; more are taken for a server that never ends."""


async def listing(
    remote: Remote,
    tenant: str | None,
    types: Mapping[str, AccountType],
    attributes: Sequence[str] = (),
) -> Mapping[Ref, Mapping[str, Json]]:
    """Return the accounts of one tenant, or the global ones, each with what the search says of it.

    That has ``integrity``, and in ``_source`` the ``attributes`` asked for. Raises what
    ``Remote.ask`` does, and ``Refused``.
    """
    path = ACCOUNTS + ("" if tenant is None else quote(tenant, safe="") + "/") + "_search"
    filters: list[Json] = [{"terms": {"type.keyword": [*types]}}]
    if tenant is not None:  # whose search finds the global accounts as well
        filters.append({"term": {"_tenant": tenant}})
    search: dict[str, Json] = {
        "query": {"bool": {"filter": filters}},
        "sort": ["type.keyword", "_name"],
        "size": _PAGE,
        "_source": [*attributes] or False,
        "track_total_hits": True,
    }
    found: dict[Ref, Mapping[str, Json]] = {}
    seen = 0
    while True:
        answer = await remote.ask("POST", path, search)
        match answer.body:
            case {
                "timed_out": False,
                "_shards": {"failed": 0},
                "hits": {"total": {"value": int(total)}, "hits": list(hits)},
            } if answer.status == 200:
                pass
            case _:
                raise Refused(f"{remote.url} does not list its accounts: {answer.error}")
        if not hits:
            break
        for hit in cast("list[dict[str, Json]]", hits):
            match hit:
                case {"_id": str(document_id), "sort": list(last)}:
                    search["search_after"] = last
                case _:
                    raise Refused(f"{remote.url} lists accounts in a form that is not known")
            if (ref := _account(document_id, types)) is not None and ref.tenant == tenant:
                found[ref] = hit
        seen += len(hits)
        if seen > _MOST:
            raise Refused(f"{remote.url} lists more than {_MOST} accounts")
    if seen < total:
        tell(
            f"warning: {remote.url} counts {total - seen} more accounts than it shows: documents"
            " that are none may hide some"
        )
    return found


def _account(document_id: str, types: Mapping[str, AccountType]) -> Ref | None:
    """Return which account a document is; None for an ``_id`` that no account has."""
    ref = Ref.of_document(document_id)
    try:
        return ref if ref is not None and ref_of(identity(ref), types) == ref else None
    except InvalidAccount:
        return None
