"""``signals-proxy accounts apply --prune``: the accounts that no file names, found and deleted.

Rules of the file:

- What is deleted is what was looked at: each DELETE is guarded, and an account that changes in
  between stays, and is told.
- What may be no account is left alone, and so is a type that this version does not know.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from signals_proxy.account.account_type import AccountType
from signals_proxy.account.body import Json
from signals_proxy.account.document import identity
from signals_proxy.account.file import ref_of
from signals_proxy.account.ref import Ref
from signals_proxy.cli.changes import ACCOUNTS, each_told, few, path_of
from signals_proxy.cli.remote import Remote
from signals_proxy.cli.voice import shown, tell, tell_error
from signals_proxy.errors import InvalidAccount, Refused

__all__ = ["Surplus", "delete", "surplus"]

_PAGE: Final = 10
"""Accounts of one page: as many as a registry gives however large they are."""

_MOST: Final = 100_000
"""Accounts of a tenant; more are taken for a server that never ends."""


@dataclass(frozen=True, slots=True)
class Surplus:
    """An account that no file names, and what guards its DELETE: that it is as it was seen."""

    ref: Ref
    guard: str


async def surplus(
    remote: Remote, named: Collection[Ref], types: Mapping[str, AccountType]
) -> Sequence[Surplus]:
    """Return the accounts beside those that are ``named``, in the tenants of these alone.

    Raises what ``Remote.ask`` does, and ``Refused``.
    """
    listed: list[Ref] = []
    for tenant in sorted({ref.tenant for ref in named}, key=lambda it: it or ""):
        listed += [ref for ref in await _listed(remote, tenant, types) if ref not in named]
    found: dict[Ref, Surplus] = {}

    async def look(ref: Ref) -> None:
        answer = await remote.ask("GET", path_of(ref))
        match answer.body:
            case {"_seq_no": int(seq_no), "_primary_term": int(term)} if answer.status == 200:
                found[ref] = Surplus(ref, f"if_seq_no={seq_no}&if_primary_term={term}")
            case _ if answer.status != 404:  # which somebody else deleted meanwhile
                raise Refused(f"{shown(ref.document_id)} cannot be read: {answer.error}")

    if failed := await few(listed, look):
        raise failed
    return [found[ref] for ref in listed if ref in found]


async def delete(remote: Remote, accounts: Collection[Surplus]) -> int:
    """Delete accounts, and return how many; of one that stays, such as one in use, it is told why.

    Raises what ``Remote.ask`` does; which accounts were deleted is told before.
    """

    async def one(account: Surplus) -> str | None:
        name = shown(account.ref.document_id)
        answer = await remote.ask("DELETE", f"{path_of(account.ref)}?{account.guard}")
        if answer.status == 200:
            return name
        tell_error(f"{name} was not deleted: {answer.error}")
        return None

    return await each_told(accounts, one, "deleted")


async def _listed(
    remote: Remote, tenant: str | None, types: Mapping[str, AccountType]
) -> Iterable[Ref]:
    """Return the accounts of one tenant. Raises what ``Remote.ask`` does, and ``Refused``."""
    path = ACCOUNTS + ("" if tenant is None else quote(tenant, safe="") + "/") + "_search"
    filters: list[Json] = [{"terms": {"type.keyword": [*types]}}]
    if tenant is not None:  # whose search finds the global accounts as well
        filters.append({"term": {"_tenant": tenant}})
    search: dict[str, Json] = {
        "query": {"bool": {"filter": filters}},
        "sort": ["type.keyword", "_name"],
        "size": _PAGE,
        "_source": False,
        "track_total_hits": True,
    }
    found: dict[Ref, None] = {}
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
        for hit in hits:
            match hit:
                case {"_id": str(document_id), "sort": list(last)}:
                    search["search_after"] = last
                case _:
                    raise Refused(f"{remote.url} lists accounts in a form that is not known")
            if (ref := _account(document_id, types)) is not None and ref.tenant == tenant:
                found[ref] = None
        seen += len(hits)
        if seen > _MOST:
            raise Refused(f"{remote.url} lists more than {_MOST} accounts")
    if seen < total:
        tell(
            f"warning: {remote.url} counts {total - seen} more accounts than it shows: documents"
            " that are none may hide some from pruning"
        )
    return found


def _account(document_id: str, types: Mapping[str, AccountType]) -> Ref | None:
    """Return which account a document is; None for an ``_id`` that no account has."""
    ref = Ref.of_document(document_id)
    try:
        return ref if ref is not None and ref_of(identity(ref), types) == ref else None
    except InvalidAccount:
        return None
