"""What happened to accounts lately: their last use, success, error and check, in a second hidden index.

Rules of the file:

- Coarse, and never in the way: what is noted is kept in memory and written in batches, some seconds
  later. A cluster that does not take it costs a line in the log, and nothing else.
- Of two notes of one kind the newer stands, whoever wrote first: so all workers of all proxies can
  write without asking one another. Writes are guarded by version; who was slower merges again.
- Whoever can write the index may have written anything: what is read is taken apart and judged.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from elasticsearch import AsyncElasticsearch

from signals_proxy.account.ref import Ref
from signals_proxy.errors import UpstreamError
from signals_proxy.registry.border import border, error_type, nonsense, refusal
from signals_proxy.registry.index import RegistryIndex

__all__ = ["KINDS", "MEMBERS", "Health", "Note"]

Note = Mapping[str, str]
"""What is noted of one event: ``at`` and perhaps ``by``, ``outcome``, ``step``, ``reason``."""

KINDS: Final = ("last_use", "last_success", "last_error", "last_check")

MEMBERS: Final = ("at", "by", "outcome", "proved", "step", "reason")
_EVERY_S: Final = 5.0
_MOST: Final = 10_000
"""Accounts that are remembered while the cluster does not take anything."""

_BATCH: Final = 500
_CONFLICT: Final = 409
_TOO_MANY: Final = 429
_LONGEST: Final = 512
_CLOCKS_DIFFER: Final = timedelta(hours=1)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_MAPPING: Final = {
    "dynamic": False,
    "properties": {
        "type": {"type": "keyword"},
        **{kind: {"properties": {"at": {"type": "date"}}} for kind in KINDS},
    },
}

_logger = logging.getLogger(__name__)


class Health:
    """The health of the accounts in the index ``name``, in an index of its own beside it."""

    def __init__(self, client: AsyncElasticsearch, name: str) -> None:
        self._reading = client.options(ignore_status=404)
        self._writing = client.options(max_retries=0)
        self._index = RegistryIndex(client, f"{name}_health", _MAPPING)
        self._noted: dict[str, dict[str, Note]] = {}
        self._flushing = asyncio.Lock()
        self._is_failing = False

    def note(self, ref: Ref, kind: str, **members: str | None) -> None:
        """Note an event of now. ``kind`` is one of ``KINDS``; members that are None are left out."""
        if ref.document_id not in self._noted and len(self._noted) >= _MOST:
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        note = {"at": at, **{name: value for name, value in members.items() if value is not None}}
        self._noted.setdefault(ref.document_id, {})[kind] = note

    async def of(self, ref: Ref) -> Mapping[str, Note]:
        """Return what is known of an account, by kind.

        Raises every :class:`UpstreamError`.
        """
        # Taken first: what is written meanwhile would be in neither.
        noted = self._noted.get(ref.document_id, {})
        found = await self._read([ref.document_id])
        stored = _judged(found[0].get("_source")) if found else {}
        return _merged(stored, noted)

    async def forget(self, ref: Ref) -> None:
        """Forget an account that is no more; as far as the cluster lets us."""
        async with self._flushing:  # or a batch under way would bring it back
            self._noted.pop(ref.document_id, None)
            with suppress(UpstreamError), border("forget the health of an account"):
                await self._writing.options(ignore_status=404).delete(
                    index=self._index.name, id=ref.document_id
                )

    async def keep_writing(self) -> None:
        """Write what is noted, every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what has been noted; what the cluster does not take stays noted."""
        async with self._flushing:
            names, why = [*self._noted], None
            try:
                for start in range(0, len(names), _BATCH):
                    batch = {
                        name: dict(self._noted[name]) for name in names[start : start + _BATCH]
                    }
                    for name, status in (await self._write(batch)).items():
                        if status != _CONFLICT and status >= 400:
                            why = f"The cluster answered {status} for an account."
                        # What is refused for good would be refused for ever.
                        if status not in {_CONFLICT, _TOO_MANY} and status < 500:
                            self._drop(name, batch[name])
            except UpstreamError as error:
                why = error.message
            if why is not None and not self._is_failing:
                _logger.warning("health not written", extra={"fields": {"reason": why}})
            self._is_failing = why is not None

    def _drop(self, name: str, written: Mapping[str, Note]) -> None:
        """Keep of what is noted of an account what came while the rest was written."""
        noted = self._noted.pop(name)
        left = {kind: note for kind, note in noted.items() if written.get(kind) is not note}
        if left:
            self._noted[name] = left

    async def _write(self, noted: Mapping[str, Mapping[str, Note]]) -> dict[str, int]:
        """Merge notes into what is stored; return the status of each account's."""
        await self._index.ensure()
        stored = {found["_id"]: found for found in await self._read([*noted])}
        lines: list[Mapping[str, Any]] = []
        for name, notes in noted.items():
            found = stored.get(name, {})
            kind, guard = ("index", _guard(found)) if found else ("create", {})
            lines.append({kind: {**self._index.guarded(), "_id": name, **guard}})
            # `type` is what the guard is about: see index.py.
            lines.append({"type": _type(name), **_merged(_judged(found.get("_source")), notes)})
        act = "write the health of accounts"
        with border(act):
            answer = await self._writing.perform_request(
                "POST",
                "/_bulk",
                params={"pipeline": "_none"},
                headers={"accept": "application/json", "content-type": "application/x-ndjson"},
                body=lines,
            )
        body: Any = answer.body
        match body:
            case {"items": [*items]} if len(items) == len(noted):
                each = [next(iter(item.values())).get("status") for item in items]
                if not all(isinstance(status, int) for status in each):
                    raise nonsense(act)
                return dict(zip(noted, each, strict=True))
            case _:
                raise nonsense(act)

    async def _read(self, names: list[str]) -> list[Mapping[str, Any]]:
        """Return the stored documents of these names, as the *Multi get* API gives them."""
        act = "read the health of accounts"
        with border(act):
            answer = await self._reading.mget(index=self._index.name, ids=names)
        kind = error_type(answer.body)
        if kind == "index_not_found_exception":
            return []
        if kind:
            raise refusal(act, answer.meta.status, kind)
        body: Any = answer.body
        match body:
            case {"docs": [*docs]}:
                return [doc for doc in docs if isinstance(doc, dict) and doc.get("found") is True]
            case _:
                raise nonsense(act)


def _guard(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"if_seq_no": found.get("_seq_no"), "if_primary_term": found.get("_primary_term")}


def _type(name: str) -> str:
    ref = Ref.of_document(name)
    return "" if ref is None else ref.type


def _judged(source: Any) -> dict[str, Note]:
    """Return the notes of a document that are as :meth:`Health.note` makes them."""
    found: dict[str, Note] = {}
    for kind in KINDS:
        note = source.get(kind) if isinstance(source, dict) else None
        if isinstance(note, dict) and _is_past(note.get("at")):
            found[kind] = {
                name: note[name]
                for name in MEMBERS
                if isinstance(note.get(name), str) and len(note[name]) <= _LONGEST
            }
    return found


def _is_past(at: Any) -> bool:
    """Tell whether it is a time that has been: what never was would outlast everything."""
    try:
        return bool(
            _TIME.fullmatch(at) and datetime.fromisoformat(at) < datetime.now(UTC) + _CLOCKS_DIFFER
        )
    except (TypeError, ValueError):
        return False


def _merged(one: Mapping[str, Note], other: Mapping[str, Note]) -> dict[str, Note]:
    """Return the newer note of each kind."""
    merged = dict(one)
    for kind, note in other.items():
        if kind not in merged or merged[kind]["at"] <= note["at"]:
            merged[kind] = note
    return merged
