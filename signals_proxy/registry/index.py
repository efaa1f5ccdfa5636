"""The registry's index: made on the first write, checked before it is trusted, never guessed at.

How a document could end up in an index that is not ours, and why it does not:

Elasticsearch creates a missing index by itself when a document is written to it, with a mapping
that it guesses from the document (``dynamic: true``). Nobody but the cluster's owner can turn that
off (``action.auto_create_index``; an index template with ``allow_auto_create: false`` needs rights
that a proxy should not have). So the index could vanish between our look at it and our write, and
the write would make it anew, with our public attributes indexed in ways that no registry agreed to.

Every write therefore carries a *guard* that an index of ours ignores and a guessed one cannot
satisfy: the bulk API's ``dynamic_templates``, which names, for the field ``type``, a template that
exists nowhere. It is looked up only where a field is about to be mapped dynamically: never in an
index with ``dynamic: false``. In an index that was just created by itself the document is refused
(400, ``document_parsing_exception``) *before* anything of it is mapped or stored. What is left is
an index with an empty mapping, which :meth:`RegistryIndex.ensure` makes ours. Shown with 8.19 and
9.5.

OpenSearch has no ``dynamic_templates`` there. What an index of ours has instead, on OpenSearch, is a
hidden alias (``<index>_guard``), to which all is written with ``require_alias``: it vanishes with
its index, and no index is ever created in its place. (Elasticsearch takes that as well, but there
its users would need rights on the alias, too.) Shown with 2.19.

What is ours is decided by content, not by a mark that anybody could copy: see :func:`foreign`.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from elasticsearch import AsyncElasticsearch

from signals_proxy.errors import ForeignIndex
from signals_proxy.registry.border import border, error_type, nonsense, refusal
from signals_proxy.registry.client import product

__all__ = ["RegistryIndex", "foreign"]

_GUARD: Final = {"type": "signals_proxy_never_maps_dynamically"}
"""``dynamic_templates`` of every write; see the head of this file."""

_ALIAS: Final[Mapping[str, Any]] = {"is_hidden": True}

_SETTINGS: Final = {
    "index": {
        "hidden": True,
        "number_of_shards": 1,
        "auto_expand_replicas": "0-1",
        # A pipeline could change a document, which breaks its seal, or send it elsewhere.
        "default_pipeline": "_none",
        "final_pipeline": "_none",
    }
}
_ADAPTABLE_SETTINGS: Final = {
    "index": {
        name: value for name, value in _SETTINGS["index"].items() if name != "number_of_shards"
    }
}

_DESCRIBE: Final = "describe the registry's index"

_logger = logging.getLogger(__name__)


class RegistryIndex:
    """One index, and what is known about it.

    ``mapping`` is the whole mapping that the account types ask for.
    """

    def __init__(self, client: AsyncElasticsearch, name: str, mapping: Mapping[str, Any]) -> None:
        self._client = client
        self._looking = client.options(ignore_status=404)
        self._mapping = mapping
        self._checked = False
        self._lock = asyncio.Lock()
        self._alias = f"{name}_guard"
        self._has_templates = True
        self._unguarded: str | None = None
        self.name = name

    def guarded(self) -> dict[str, Any]:
        """Return what an operation of a bulk request names for a write that has to be guarded.

        As :meth:`ensure` last found the cluster to be.
        """
        if self._has_templates:
            return {"_index": self.name, "dynamic_templates": _GUARD}
        return {"_index": self._alias, "require_alias": True}

    def forget(self) -> None:
        """Have the index checked again: it was seen to be missing, and may come back another."""
        self._checked = False

    async def check(self) -> None:
        """Check the index, once, before what lies in it is read.

        A missing index is fine. Raises :class:`ForeignIndex`, and whatever :func:`border` makes.
        """
        if not self._checked:
            await self._examine()

    async def ensure(self) -> bool:
        """Create, extend or adopt the index if need be; return whether anything was done.

        Called before each write, whatever is known: writes are rare, and another proxy, or a
        person, may have changed the index since.

        Raises :class:`ForeignIndex`, and whatever :func:`border` makes.
        """
        async with self._lock:
            done = False
            missing = await self._examine()
            if missing is None:
                await self._create()
                done = True
                # An index template of the cluster's may have added to what was asked for.
                missing = await self._examine()
            if missing:
                await self._extend(missing)
                done = True
            if self._unguarded is not None:
                await self._add_alias(self._unguarded)
                done = True
        return done

    async def _examine(self) -> Mapping[str, Any] | None:
        """Return the part of our mapping that the index lacks; None if there is no index.

        Raises :class:`ForeignIndex`.
        """
        with border(_DESCRIBE):
            answer = await self._looking.indices.get(index=self.name, flat_settings=True)
        self._has_templates = product(answer.meta.headers) is not None
        self._unguarded = None
        if answer.meta.status == 404:
            if (kind := error_type(answer.body)) != "index_not_found_exception":
                raise refusal(_DESCRIBE, 404, kind)
            self._checked = False
            return None
        described = _described(answer.body)
        # An alias is fine: a cluster's upgrade may leave one in the place of an index.
        if len(described) != 1:
            raise ForeignIndex(
                f"The name {self.name} stands for more than one index: "
                f"{', '.join(sorted(described))}. Leave one, or set registry.index."
            )
        ((name, (mapping, settings)),) = described.items()
        if not self._has_templates:
            await self._check_alias(name)
        if not mapping:
            self._checked = False
            return self._mapping
        reasons = foreign(self._mapping, mapping, settings)
        if reasons:
            self._checked = False
            raise ForeignIndex(
                f"The index {name} was not made by this registry ({'; '.join(reasons)}). Nothing"
                " is read from it or written to it. Move it away, or set registry.index."
            )
        self._checked = True
        ours, theirs = self._mapping["properties"], mapping.get("properties", {})
        missing = {field: ours[field] for field in ours if field not in theirs}
        return {"properties": missing} if missing else {}

    async def _check_alias(self, index: str) -> None:
        """See whether the alias that guards the index is there. Raises :class:`ForeignIndex`."""
        with border(_DESCRIBE):
            answer = await self._looking.indices.get(index=self._alias)
        if answer.meta.status == 404:
            self._unguarded = index
        elif {*answer.body} != {index}:
            raise ForeignIndex(
                f"The alias {self._alias} guards the index {index}, and stands for"
                f" {', '.join(sorted(answer.body))}. Remove it: it is made anew."
            )

    async def _create(self) -> None:
        with border("create the registry's index"):
            answer = await self._client.options(ignore_status=400).indices.create(
                index=self.name,
                mappings=self._mapping,
                settings=_SETTINGS,
                aliases=None if self._has_templates else {self._alias: _ALIAS},
            )
        if answer.meta.status == 200:
            _logger.info("index created", extra={"fields": {"index": self.name}})
        elif error_type(answer.body) != "resource_already_exists_exception":
            # Another proxy was faster: then it is checked like any index that was there.
            raise refusal(
                "create the registry's index", answer.meta.status, error_type(answer.body)
            )

    async def _extend(self, mapping: Mapping[str, Any]) -> None:
        with border("extend the registry's index"):
            await self._client.indices.put_mapping(index=self.name, body=dict(mapping))
            if mapping is self._mapping:
                # It was empty: the cluster had created it by itself.
                await self._client.indices.put_settings(
                    index=self.name, settings=_ADAPTABLE_SETTINGS
                )
        await self._examine()
        _logger.info("index extended", extra={"fields": {"index": self.name}})

    async def _add_alias(self, index: str) -> None:
        with border("guard the registry's index"):
            await self._client.indices.update_aliases(
                actions=[{"add": {"index": index, "alias": self._alias, **_ALIAS}}]
            )


def _described(body: Any) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return mapping and settings of each index in an answer of *Get index*.

    Raises :class:`Refused` for anything else, such as what a proxy between us answers.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for name, index in body.items() if isinstance(body, dict) else ():
        match index:
            case {"mappings": {**mapping}, "settings": {**settings}} if isinstance(
                mapping.get("properties", {}), dict
            ):
                found[name] = mapping, settings
            case _:
                found.clear()
                break
    if not found:
        raise nonsense(_DESCRIBE)
    return found


def foreign(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[str]:
    """Return what in an index is not as this registry, or a later version of it, made it.

    ``ours`` and ``theirs`` are mappings, ``settings`` the index's settings with flat names. More
    fields than ours are fine at the top level, for a later version adds them; what we do not
    know there is not ours to judge, and no secret lies outside ``_sealed``.
    """
    reasons = [
        f"{name} in its mapping"
        for name in sorted(theirs.keys() - ours.keys() - {"_meta", "properties"})
    ]
    reasons += [
        f"{name} is {_json(theirs.get(name, 'not set'))}, not {_json(ours[name])}"
        for name in sorted(ours.keys() - {"_meta", "properties"})
        if _normal(theirs.get(name)) != _normal(ours[name])
    ]
    fields = theirs.get("properties", {})
    reasons += [
        f"the field {name} is mapped otherwise"
        for name, wanted in sorted(ours["properties"].items())
        if name in fields and _normal(fields[name]) != _normal(wanted)
    ]
    # A synthetic source is put together anew from what was indexed: not the bytes that were sealed.
    for name, allowed in (
        ("index.mapping.source.mode", {"stored"}),
        ("index.mode", {"standard"}),
        ("index.final_pipeline", {"_none"}),
    ):
        value = settings.get(name)
        if value is not None and str(value).lower() not in allowed:
            reasons.append(f"{name} is {value}")
    return reasons


def _normal(mapping: Any) -> Any:
    """Return a piece of a mapping as the cluster shows it, who writes ``false`` as a string."""
    if isinstance(mapping, Mapping):
        return {
            name: _normal(value)
            for name, value in mapping.items()
            # An object's type is not shown where it has fields.
            if not (name == "type" and value == "object" and "properties" in mapping)
        }
    return _json(mapping)


def _json(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
