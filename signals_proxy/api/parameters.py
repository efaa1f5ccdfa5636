"""Query parameters, judged as Elasticsearch judges its own and in its words."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from signals_proxy.account.ref import Ref
from signals_proxy.api.filter_path import filtered
from signals_proxy.errors import InvalidParameter, VersionConflict
from signals_proxy.registry.documents import Version

__all__ = ["COMMON", "DELETE", "PUT", "Guard", "boolean", "guard", "known"]

_SWITCHES: Final = frozenset({"pretty", "human", "error_trace"})
COMMON: Final = _SWITCHES | {"filter_path"}
"""Understood by every call. ``human`` and ``error_trace`` change nothing: we have no other forms."""

DELETE: Final = frozenset({"if_seq_no", "if_primary_term"})
PUT: Final = DELETE | {"op_type", "dry_run"}

_LONG: Final = re.compile(r"-?[0-9]{1,19}")


def known(
    path: str, parameters: Sequence[tuple[str, str]], names: Iterable[str] = ()
) -> Mapping[str, str]:
    """Return the parameters by name.

    ``path`` is shown in errors. Raises :class:`InvalidParameter` for one that is neither common
    nor in ``names``, and for one that comes twice.
    """
    names = sorted(COMMON | set(names))
    found = dict(parameters)
    unknown = [name for name in found if name not in names]
    if unknown:
        shown = ", ".join(f"[{name}]{_meant(name, names)}" for name in sorted(unknown))
        plural = "s" if len(unknown) > 1 else ""
        raise InvalidParameter(f"request [{path}] contains unrecognized parameter{plural}: {shown}")
    if len(found) != len(parameters):
        twice = sorted({name for name, _ in parameters if _count(parameters, name) > 1})
        raise InvalidParameter(f"request [{path}] repeats a parameter: [{'], ['.join(twice)}]")
    for name in _SWITCHES:
        boolean(found, name)
    filtered({}, found.get("filter_path", ""))  # before anything is done
    return found


def boolean(parameters: Mapping[str, str], name: str) -> bool:
    """Return a switch: off if absent, on if without a value. Raises :class:`InvalidParameter`."""
    value = parameters.get(name, "false")
    if value not in {"", "true", "false"}:
        raise InvalidParameter(
            f"Failed to parse value [{value}] as only [true] or [false] are allowed."
        )
    return value != "false"


@dataclass(frozen=True, slots=True)
class Guard:
    """What has to be stored for a PUT or DELETE to go ahead.

    ``create``: nothing. ``seq_no`` and ``primary_term``: just this version; both or neither.
    """

    create: bool = False
    seq_no: int | None = None
    primary_term: int | None = None

    @property
    def is_set(self) -> bool:
        """Whether the caller asked for anything."""
        return self.create or self.seq_no is not None

    def check(self, ref: Ref, found: Version | None) -> None:
        """Raise :class:`VersionConflict` if ``found`` is not what has to be stored."""
        if self.create and found is not None:
            raise VersionConflict(
                f"[{ref.document_id}]: version conflict, document already exists (current version"
                f" [{found.version}])"
            )
        if self.seq_no is None:
            return
        required = (
            f"[{ref.document_id}]: version conflict, required seqNo [{self.seq_no}], primary term"
            f" [{self.primary_term}]."
        )
        if found is None:
            raise VersionConflict(f"{required} but no document was found")
        if (found.seq_no, found.primary_term) != (self.seq_no, self.primary_term):
            raise VersionConflict(
                f"{required} current document has seqNo [{found.seq_no}] and primary term"
                f" [{found.primary_term}]"
            )


def guard(parameters: Mapping[str, str]) -> Guard:
    """Return the guard that parameters ask for. Raises :class:`InvalidParameter`."""
    op_type = parameters.get("op_type", "index")
    if op_type not in {"create", "index"}:
        raise InvalidParameter(f"opType must be 'create' or 'index', found: [{op_type}]")
    seq_no = _long(parameters, "if_seq_no", least=0)
    primary_term = _long(parameters, "if_primary_term", least=1)
    if (seq_no is None) != (primary_term is None):
        raise InvalidParameter("if_seq_no and if_primary_term go together: set both or neither")
    if op_type == "create" and seq_no is not None:
        raise InvalidParameter(
            "create operations do not support compare and set. use index instead"
        )
    return Guard(op_type == "create", seq_no, primary_term)


def _long(parameters: Mapping[str, str], name: str, *, least: int) -> int | None:
    value = parameters.get(name)
    if value is None:
        return None
    if not _LONG.fullmatch(value) or int(value) >= 2**63:
        raise InvalidParameter(f"Failed to parse long parameter [{name}] with value [{value}]")
    if int(value) < least:
        raise InvalidParameter(f"[{name}] must not be less than [{least}], got [{value}]")
    return int(value)


def _meant(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, n=1)
    return f" -> did you mean [{close[0]}]?" if close else ""


def _count(parameters: Sequence[tuple[str, str]], name: str) -> int:
    return sum(1 for given, _ in parameters if given == name)
