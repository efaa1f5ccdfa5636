"""``signals-proxy accounts apply --prune``: the accounts that no file names, found and deleted.

Rule of the file: what is deleted is what was looked at. Each DELETE is guarded, and an account that
changes in between stays, and is told.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from signals_proxy.account.account_type import AccountType
from signals_proxy.account.ref import Ref
from signals_proxy.cli.changes import each_told, few, path_of
from signals_proxy.cli.listing import listing
from signals_proxy.cli.remote import Remote
from signals_proxy.cli.voice import shown, tell_error
from signals_proxy.errors import Refused

__all__ = ["Surplus", "delete", "surplus"]


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
        listed += [ref for ref in await listing(remote, tenant, types) if ref not in named]
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
