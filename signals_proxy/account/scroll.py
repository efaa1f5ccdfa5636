"""Scroll ids: the next page's search, written down, behind a mark.

An id grants nothing and holds no state: whoever writes one asks for no more than in a request, so
it is read by the same rules, and the search in it is to be authorised like any other.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NoReturn
from urllib.parse import quote

from signals_proxy.account import ref as refs
from signals_proxy.account import search as searches
from signals_proxy.account.body import Json
from signals_proxy.account.search import Search
from signals_proxy.errors import InvalidParameter, InvalidTarget

__all__ = ["MAX_ID", "is_ours", "of", "write"]

MAX_ID: Final = 16 * 1024
"""How many characters an id may have."""

_MARK: Final = "signals-proxy-scroll-1."
_MEMBERS: Final = frozenset({"query", "sort", "size", "_source", "after", "tenant", "scroll"})


def is_ours(scroll_id: str) -> bool:
    """Tell whether it is an id of ours, good or bad."""
    return scroll_id.startswith(_MARK)


def write(search: Search) -> str:
    """Return the id of a search with a ``scroll``.

    Raises ``InvalidParameter`` if it would be too long.
    """
    members: dict[str, Any] = {
        "size": search.size,
        "_source": search.source.as_json(),
        "sort": [*search.sort],
        "scroll": search.scroll,
        "after": [*search.after],
        "tenant": search.tenant,
    }
    if search.query is not None:
        members["query"] = search.query
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    found = _MARK + base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    if len(found) > MAX_ID:
        raise InvalidParameter(
            f"The search is too long to scroll: its scroll id would have over {MAX_ID} characters."
            " Use a shorter query, or search_after."
        )
    return found


def of(scroll_id: str, fields: Mapping[str, str], scroll: Json = None) -> Search:
    """Return the search that an id stands for; ``scroll`` is the new time to live, if one was sent.

    Raises ``InvalidParameter`` and ``InvalidBody``, also for an id that no page ever had.
    """
    try:
        search = _read(scroll_id, fields)
        if write(search) != scroll_id:
            _refuse()
    except (ValueError, RecursionError, InvalidTarget):  # of JSON, Base64 and UTF-8
        _refuse()
    return search if scroll is None else replace(search, scroll=searches.keep_alive(scroll))


def _read(scroll_id: str, fields: Mapping[str, str]) -> Search:
    if not is_ours(scroll_id) or len(scroll_id) > MAX_ID:
        _refuse()
    packed = scroll_id.removeprefix(_MARK).encode("ascii")
    text = base64.b64decode(packed + b"=" * (-len(packed) % 4), b"-_", validate=True)
    members = json.loads(text.decode())
    if not isinstance(members, dict) or _MEMBERS - members.keys() - {"query"}:
        _refuse()
    tenant, scroll, after = (members.pop(name) for name in ("tenant", "scroll", "after"))
    if not isinstance(scroll, str):
        _refuse()
    search = searches.parse(members, {"scroll": scroll}, _tenant(tenant), fields)
    return searches.after(search, after, scrolling=True) if after else search


def _tenant(tenant: Json) -> str | None:
    """Return the tenant, if a request's target can name it. Raises ``InvalidTarget``."""
    if tenant is None:
        return None
    if not isinstance(tenant, str):
        _refuse()
    call = refs.parse(f"/_signals/account/{quote(tenant, safe='')}/_search")
    if call is None or call.tenant != tenant or len(tenant.encode()) > refs.MAX_ID_BYTES:
        _refuse()
    return tenant


def _refuse() -> NoReturn:
    raise InvalidParameter("Cannot parse scroll id: it is none that was given out by this registry")
