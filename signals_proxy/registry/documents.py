"""Accounts as documents: read, write guarded, delete guarded.

Rules of the file:

- Reads are realtime (*Get* API) and may be repeated by the client. Writes never are. The transport
  would repeat any method whose connection broke, and the HTTP client below it each idempotent one:
  a guarded write that did execute would come back as a conflict with itself. So writes are
  ``POST _bulk``, with ``max_retries=0``.
- A write whose answer did not arrive is looked for instead: the box of an account is unique to the
  one sealing that made it, so finding it means that this write is what is stored, and not finding
  it that nobody can tell (:class:`Lost`, :class:`TimedOut`): it may still be on its way.
- Every write is guarded: ``create``, or by sequence number and primary term of what was read.
- ``refresh=true``: writes are rare and small, and once one has returned, each proxy's search shows
  it. Waiting for the next refresh would cost up to a second each.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from elasticsearch import AsyncElasticsearch

from signals_proxy.account.account_type import AccountType
from signals_proxy.account.document import SEALED, SealedAccount
from signals_proxy.account.ref import Ref
from signals_proxy.account.schema import index_mapping
from signals_proxy.errors import (
    InvalidParameter,
    NotConnected,
    SignalsError,
    UpstreamError,
    VersionConflict,
)
from signals_proxy.registry import search
from signals_proxy.registry.border import Unreadable, border, error_type, nonsense, refusal
from signals_proxy.registry.client import product
from signals_proxy.registry.health import Health
from signals_proxy.registry.index import RegistryIndex
from signals_proxy.registry.watches import Watches

__all__ = ["WRITE_TIMEOUT_S", "Registry", "Stored", "Version"]

WRITE_TIMEOUT_S: Final = 30.0

_UNASSIGNED: Final = (-2, 0)
"""Sequence number and primary term of a deletion that was only inferred, as Elasticsearch has it."""

_UNREADABLE: Final[Mapping[str, Any]] = {SEALED: {"box": math.nan}}
"""Stands for a stored document that is no readable JSON: it can never be verified."""

_MOST_ONE_BY_ONE: Final = 10
"""Hits that are read singly where a page as a whole cannot be: as many as a page has by default."""

# The cluster gives up before we do, so that it is the cluster who says whether it was done.
_CLUSTER_TIMEOUT: Final = "20s"


@dataclass(frozen=True, slots=True)
class Version:
    """Which state of a document this is; ``seq_no`` and ``primary_term`` guard a write to it."""

    version: int
    seq_no: int
    primary_term: int


@dataclass(frozen=True, slots=True)
class Stored:
    """An account as it lies in the index; nothing about it has been verified."""

    account: SealedAccount
    version: Version


class Registry:
    """The accounts of one index.

    ``write_timeout_s`` is the time that one write may take. ``product`` is the value of
    ``X-elastic-product`` that the cluster gave last, if any. ``watches`` are those that may use them,
    ``health`` is what happened to them.
    """

    def __init__(
        self,
        client: AsyncElasticsearch,
        index: str,
        types: Mapping[str, AccountType],
        *,
        write_timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        self._client = client
        # Each time a client is given other options it is made anew, which takes as long as a request.
        self._reading = client.options(ignore_status=404)
        self._searching = client.options(ignore_status=(400, 404))
        self._writing = client.options(request_timeout=write_timeout_s, max_retries=0)
        self._index = RegistryIndex(client, index, index_mapping(types))
        self.product: str | None = None
        self.watches = Watches(client)
        self.health = Health(client, index)

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    async def check(self) -> None:
        """Find out whether the cluster lets us at the index, which may be missing.

        Raises :class:`ForeignIndex` and every other :class:`UpstreamError`.
        """
        await self._index.check()

    async def get(self, ref: Ref) -> Stored | None:
        """Return the account, or None if there is none, or no index yet.

        Raises :class:`ForeignIndex` and every other :class:`UpstreamError`.
        """
        try:
            found = await self._read(ref)
        except Unreadable:
            # Whoever may write the index must not be able to make an account undeletable.
            found = await self._read(ref, source=False)
        if found is None:
            return None
        await self._index.check()
        source = found.get("_source")
        if not isinstance(source, dict):
            source = _UNREADABLE
        return Stored(SealedAccount(ref, source), _version(found))

    async def search(self, request: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the cluster's answer to the body of a search; None if there is no index yet.

        Raises :class:`InvalidBody` for what the cluster refuses, :class:`InvalidParameter` for a
        page that is too large, :class:`ForeignIndex` and every other :class:`UpstreamError`.
        """
        await self._index.check()
        try:
            return await self._search(request)
        except Unreadable:
            # The cluster cuts its answer off at a document that it cannot write as JSON. As with a
            # single account: what somebody planted shall not hide all others.
            found = await self._search({**request, "_source": False})
        hits = search.hits(found)
        if len(hits) > _MOST_ONE_BY_ONE:
            raise InvalidParameter(
                "The accounts of this page are too large together, or one of them cannot be read:"
                f" use a [size] of {_MOST_ONE_BY_ONE} or less."
            )
        for hit in hits:
            ref = Ref.of_document(hit["_id"])
            stored = await self.get(ref) if ref is not None else None
            hit["_source"] = _UNREADABLE if stored is None else stored.account.source
        return found

    async def put(self, sealed: SealedAccount, expected: Version | None) -> Version:
        """Store the account and return its new version.

        ``expected`` is what is to be replaced; None means that there must be nothing yet.

        Raises :class:`VersionConflict` if something else is stored, :class:`Lost` or
        :class:`TimedOut` if nobody can tell whether it was written, and every other
        :class:`UpstreamError` if it was not.
        """
        await self._index.ensure()
        try:
            (item,) = await self._write("write the account", self._storing(sealed, expected))
            if item["status"] in {400, 404} and await self._index.ensure():
                # The index had vanished, and the guard refused the one that came by itself, or none.
                (item,) = await self._write("write the account", self._storing(sealed, expected))
            return _outcome("write the account", item, sealed.ref)
        except NotConnected:
            raise
        except (UpstreamError, VersionConflict):
            # A conflict too: something between us and the node may have sent the write twice.
            stored = await self._look(sealed.ref)
            if stored is not None and _box(stored.account) == _box(sealed):
                return stored.version
            raise

    async def replace(
        self, accounts: Sequence[tuple[SealedAccount, Version]]
    ) -> list[Version | VersionConflict | UpstreamError]:
        """Store each account in the place of the version that was read, all in one request.

        Returns for each its new version, or why it was not stored. Searches see nothing of it
        before the next refresh.

        Raises :class:`Lost` or :class:`TimedOut` if nobody can tell what was stored: reading the
        accounts again tells. Raises every other :class:`UpstreamError` if nothing was.
        """
        act = "write the accounts"
        await self._index.ensure()
        operations = [line for each in accounts for line in self._storing(*each)]
        items = await self._write(act, operations, len(accounts), refresh="false")
        return [
            _tried(act, item, sealed.ref) for item, (sealed, _) in zip(items, accounts, strict=True)
        ]

    async def delete(self, ref: Ref, expected: Version) -> Version:
        """Delete the account, if it is still the one that was read; return the last version.

        Raises as :meth:`put` does.
        """
        action = {"_index": self._index.name, "_id": ref.document_id, **_guard(expected)}
        try:
            (item,) = await self._write("delete the account", [{"delete": action}])
            return _outcome("delete the account", item, ref)
        except NotConnected:
            raise
        except UpstreamError:
            # Gone is gone, whoever did it.
            if await self._is_gone(ref):
                return Version(expected.version + 1, *_UNASSIGNED)
            raise

    async def _read(self, ref: Ref, *, source: bool = True) -> Mapping[str, Any] | None:
        act = "read the account"
        with border(act):
            answer = await self._reading.get(
                index=self._index.name, id=ref.document_id, source=source
            )
        self._notice(answer.meta.headers)
        body: Any = answer.body
        found = body.get("found") if isinstance(body, dict) else None
        if found is True and _has_version(body):
            read: Mapping[str, Any] = body
            return read
        if found is False:
            return None
        # Nothing else says that it is not there: it may be of a proxy between the cluster and us.
        kind = error_type(body)
        if kind == "index_not_found_exception":
            self._index.forget()
            return None
        if kind:
            raise refusal(act, answer.meta.status, kind)
        raise nonsense(act)

    async def _search(self, request: Mapping[str, Any]) -> Mapping[str, Any] | None:
        answer = await search.ask(self._searching, self._index.name, request)
        self._notice(answer.meta.headers)
        found = await search.read(answer)
        if found is None:
            self._index.forget()
        return found

    async def _look(self, ref: Ref) -> Stored | None:
        try:
            return await self.get(ref)
        except SignalsError:
            return None

    async def _is_gone(self, ref: Ref) -> bool:
        try:
            return await self._read(ref) is None
        except SignalsError:
            return False

    def _storing(self, sealed: SealedAccount, expected: Version | None) -> list[dict[str, Any]]:
        """Return the lines of a bulk request that store the account."""
        action = {**self._index.guarded(), "_id": sealed.ref.document_id}
        kind = "create" if expected is None else "index"
        return [{kind: action | _guard(expected)}, dict(sealed.source)]

    async def _write(
        self, act: str, operations: list[dict[str, Any]], count: int = 1, refresh: str = "true"
    ) -> list[Mapping[str, Any]]:
        """Send ``count`` operations in one request and return the cluster's answer to each."""
        with border(act):
            answer = await self._writing.perform_request(
                "POST",  # the client's own bulk() is a PUT: see the rules above
                "/_bulk",
                params={"refresh": refresh, "pipeline": "_none", "timeout": _CLUSTER_TIMEOUT},
                headers={"accept": "application/json", "content-type": "application/x-ndjson"},
                body=operations,
            )
        self._notice(answer.meta.headers)
        match answer.body:
            case {"items": [*items]} if len(items) == count:
                return [_item(act, item) for item in items]
        raise nonsense(act)

    def _notice(self, fields: Mapping[str, str]) -> None:
        self.product = product(fields) or self.product


def _guard(expected: Version | None) -> dict[str, Any]:
    if expected is None:
        return {}
    return {"if_seq_no": expected.seq_no, "if_primary_term": expected.primary_term}


def _item(act: str, item: Any) -> Mapping[str, Any]:
    """Return what a bulk answer says of one operation, whichever that was."""
    only: Any = [*item.values()] if isinstance(item, dict) else []
    if len(only) == 1 and isinstance(only[0], dict) and type(only[0].get("status")) is int:
        (said,) = only
        if said["status"] not in {200, 201} or _has_version(said):
            outcome: Mapping[str, Any] = said
            return outcome
    raise nonsense(act)


def _tried(
    act: str, item: Mapping[str, Any], ref: Ref
) -> Version | VersionConflict | UpstreamError:
    try:
        return _outcome(act, item, ref)
    except (VersionConflict, UpstreamError) as error:
        return error


def _outcome(act: str, item: Mapping[str, Any], ref: Ref) -> Version:
    status = item["status"]
    if status in {200, 201}:
        return _version(item)
    if status in {404, 409}:
        raise VersionConflict(
            f"The account {ref.document_id} was changed or deleted meanwhile. Read it again, and"
            " repeat the change if it is still wanted."
        )
    raise refusal(act, status, error_type(item))


def _has_version(answer: Mapping[str, Any]) -> bool:
    return all(type(answer.get(name)) is int for name in ("_version", "_seq_no", "_primary_term"))


def _version(answer: Mapping[str, Any]) -> Version:
    return Version(answer["_version"], answer["_seq_no"], answer["_primary_term"])


def _box(account: SealedAccount) -> Any:
    sealed = account.source.get(SEALED)
    return sealed.get("box") if isinstance(sealed, Mapping) else None
