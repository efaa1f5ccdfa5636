"""What a request target means to the registry: one of its calls, nothing, or a look-alike.

Rules of the file: a target is ours only in its one plain spelling. A target that any reader
behind us, however lenient, could take for one of ours is refused and never forwarded, for its
body may hold a password. Everything else is not ours, and that is decided first and fast, because
every request of the data plane passes here.
"""

import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import unquote_to_bytes

from signals_proxy.errors import InvalidTarget

__all__ = ["MAX_ID_BYTES", "AccountCall", "Endpoint", "Ref", "is_in_our_spelling", "parse"]

MAX_ID_BYTES: Final = 512
"""How long the id of a document may be in Elasticsearch, in bytes of UTF-8."""

_PREFIX: Final = "/_signals/account"
_GLOBAL: Final = "_main"
# Visible ASCII, and escapes that hide neither a letter, '_', '%', a blank nor anything beyond ASCII:
# in such a path our name is either to be seen or not there.
_PLAIN: Final = re.compile(
    "[!-$&-~]*(?:%(?:2[1-46-9A-Fa-f]|3[0-9A-Fa-f]|[46]0|[57][B-Eb-e])[!-$&-~]*)*"
)
# Readers that decode more often than this would have to be built on purpose.
_DECODINGS: Final = 8


@dataclass(frozen=True, slots=True)
class Ref:
    """Which account: the names decoded, the type in lower case, ``None`` for the global tenant."""

    type: str
    id: str
    tenant: str | None = None

    @property
    def document_id(self) -> str:
        """The ``_id`` of the account's document. No name holds a slash, so no two refs share it."""
        names = (self.type, self.id) if self.tenant is None else (self.tenant, self.type, self.id)
        return "/".join(names)

    @classmethod
    def of_document(cls, document_id: str) -> "Ref | None":
        """Return the account whose document has this ``_id``, if there can be one."""
        match document_id.split("/"):
            case [type_name, account_id]:
                return cls(type_name, account_id)
            case [tenant, type_name, account_id]:
                return cls(type_name, account_id, tenant)
            case _:
                return None


class Endpoint(Enum):
    """Every kind of call that the registry answers."""

    ACCOUNT = "account"
    TEST = "_test"
    SEND = "_send"
    STATUS = "_status"
    SEARCH = "_search"
    SCHEMA = "_schema"
    SCHEMA_TYPE = "_schema/{type}"
    OPENAPI = "_openapi"
    KEY = "_key"


@dataclass(frozen=True, slots=True)
class AccountCall:
    """A request target of ours. ``parameters`` are decoded, in the order in which they were sent.

    ``ref`` is set for what concerns one account, ``tenant`` for a search in a tenant, ``type`` for
    the schema of one type.
    """

    endpoint: Endpoint
    parameters: tuple[tuple[str, str], ...] = ()
    ref: Ref | None = None
    tenant: str | None = None
    type: str | None = None


def parse(target: str, type_names: Collection[str] = ()) -> AccountCall | None:
    """Return the call that a request target stands for; ``None`` if it is not ours.

    ``target`` is as it came (RFC 9112 section 3.2), its bytes read as Latin-1. ``type_names`` are
    the names that no tenant may have. A type that does not exist is not noticed here.

    Raises ``InvalidTarget`` for a look-alike and for a target of ours that is malformed.
    """
    path, _, query = target.partition("?")
    if _PLAIN.fullmatch(path) and "signals" not in path.lower():
        return None
    if is_in_our_spelling(target):
        names = [_name(segment) for segment in path.removeprefix(_PREFIX).split("/")[1:]]
        return _call(names, _parameters(query), type_names)
    if _could_be_ours(path):
        raise InvalidTarget(
            f"The request target could be taken for one of the account registry. Spell it "
            f"'{_PREFIX}/…', without encoding, repeated slashes or dots."
        )
    return None


def is_in_our_spelling(target: str) -> bool:
    """Tell whether a target is one of ours, right or wrong, and not a look-alike: see :func:`parse`."""
    path = target.partition("?")[0]
    return path == _PREFIX or path.startswith(_PREFIX + "/")


# --- look-alikes ---------------------------------------------------------------------------------

# A character in more bytes than it needs (RFC 3629 section 3 forbids them; some decoders do not).
_OVERLONG: Final = re.compile(
    "(?:[\xc0\xc1]|\xe0[\x80\x81]|\xf0\x80[\x80\x81])(?P<last>[\x80-\xbf])"
)
_PERCENT_U: Final = re.compile("%u00([0-9a-f]{2})", re.IGNORECASE)
_BLANKS: Final = re.compile(r"[\x00-\x20\x7f]+")
_SEGMENT_END: Final = re.compile("[;?#].*", re.DOTALL)


def _could_be_ours(path: str) -> bool:
    """Tell whether some reading of the path begins with the registry's two segments.

    Readings differ in how often they decode, what they take for a slash, whether they drop
    parameters, blanks and empty segments, where an authority ends and when dots are resolved.
    None of them adds a segment or changes the order: so where dots or an authority could take
    leading segments away, our two in their order are enough; elsewhere they must come first.
    """
    # RFC 3986 has parameters taken off before anything is decoded, so that "%2F" may be in one.
    return _reads_as_ours(path, _without_parameters) or _reads_as_ours(path, lambda it: it)


def _without_parameters(path: str) -> str:
    return "/".join(_SEGMENT_END.sub("", part) for part in path.split("/"))


def _reads_as_ours(path: str, prepared: Callable[[str], str]) -> bool:
    for _ in range(_DECODINGS):
        path = prepared(_BLANKS.sub("", path))
        if _has_our_segments(path):
            return True
        decoded = _decoded_once(path)
        if decoded == path:
            return False
        path = decoded
    raise InvalidTarget("The request target is percent-encoded too many times over.")


def _has_our_segments(path: str) -> bool:
    text = unicodedata.normalize("NFKC", _as_text(path)).casefold().replace("\\", "/")
    parts = [_SEGMENT_END.sub("", part) for part in text.split("/")]
    segments = [part for part in parts if part not in {"", "."}]
    may_begin_with_authority = parts[1:2] in ([""], ["."]) or any(":" in s for s in segments[:1])
    if may_begin_with_authority or ".." in segments:
        after = segments[segments.index("_signals") + 1 :] if "_signals" in segments else []
        return "account" in after
    return segments[:2] == ["_signals", "account"]


def _decoded_once(path: str) -> str:
    return unquote_to_bytes(_PERCENT_U.sub(r"%\1", path).encode("latin-1")).decode("latin-1")


def _as_text(octets: str) -> str:
    def shortest(match: re.Match[str]) -> str:
        before, last = match[0][-2], match["last"]
        return chr((ord(before) & 1) << 6 | ord(last) & 0x3F)

    return _OVERLONG.sub(shortest, octets).encode("latin-1").decode(errors="replace")


# --- our own -------------------------------------------------------------------------------------

# RFC 3986 section 3.3, `pchar`, without the `;` that begins a parameter for some readers.
_SEGMENT: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+")
# Rights are decided by patterns over names; line separators would break a line of a log.
_NOT_IN_A_NAME: Final = re.compile("[/\\\\*?\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PARAMETER: Final = re.compile(r"(?:[!\"$&-:<-~]|%[0-9A-Fa-f]{2})*")

_ON_AN_ACCOUNT: Final = {e.value: e for e in (Endpoint.TEST, Endpoint.SEND, Endpoint.STATUS)}
_ALONE: Final = {e.value: e for e in (Endpoint.SCHEMA, Endpoint.OPENAPI, Endpoint.KEY)}


def _name(segment: str) -> str:
    if not _SEGMENT.fullmatch(segment):
        raise InvalidTarget(
            "A name in the request target is empty, not encoded as it should be, or carries a "
            "parameter; percent-encode everything but letters, digits and '-._~'."
        )
    try:
        name = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as exc:
        raise InvalidTarget("A name in the request target is not UTF-8.") from exc
    if name in {".", ".."} or _NOT_IN_A_NAME.search(name):
        raise InvalidTarget(
            "A name in the request target is '.' or '..' or holds one of '/ \\ * ?' or a control "
            "character."
        )
    return name


def _call(
    names: list[str], parameters: tuple[tuple[str, str], ...], type_names: Collection[str]
) -> AccountCall:
    match names:
        case [name] if name in _ALONE:
            return AccountCall(_ALONE[name], parameters)
        case [Endpoint.SCHEMA.value, name]:
            return AccountCall(Endpoint.SCHEMA_TYPE, parameters, type=_type(name))
        case [Endpoint.SEARCH.value]:
            return AccountCall(Endpoint.SEARCH, parameters)
        case [tenant, Endpoint.SEARCH.value]:
            return AccountCall(Endpoint.SEARCH, parameters, tenant=_tenant(tenant, type_names))
        case [*of_account, verb] if verb in _ON_AN_ACCOUNT:
            return AccountCall(_ON_AN_ACCOUNT[verb], parameters, ref=_ref(of_account, type_names))
    return AccountCall(Endpoint.ACCOUNT, parameters, ref=_ref(names, type_names))


def _ref(names: list[str], type_names: Collection[str]) -> Ref:
    match names:
        case [*tenants, type_name, account_id] if len(tenants) < 2:
            ref = Ref(
                id=_given(account_id),
                type=_type(type_name),
                tenant=_tenant(tenants[0], type_names) if tenants else None,
            )
        case _:
            raise InvalidTarget(
                f"The registry has no such target; accounts are '{_PREFIX}/{{type}}/{{id}}' or "
                f"'{_PREFIX}/{{tenant}}/{{type}}/{{id}}'."
            )
    if len(ref.document_id.encode()) > MAX_ID_BYTES:
        raise InvalidTarget(f"Type, id and tenant have over {MAX_ID_BYTES} bytes together.")
    return ref


def _given(name: str) -> str:
    if name.startswith("_"):
        raise InvalidTarget(
            "The registry has no such target: no tenant, type or id begins with '_'."
        )
    return name


def _type(name: str) -> str:
    # Only ASCII is lowered: the Kelvin sign becomes a 'k', and 'slacK' must not become 'slack'.
    return _given(name.lower() if name.isascii() else name)


def _tenant(name: str, type_names: Collection[str]) -> str | None:
    if name == _GLOBAL:
        return None
    if name.lower() in type_names:
        raise InvalidTarget("A tenant may not be named like an account type.")
    if len(name.encode()) > MAX_ID_BYTES:
        raise InvalidTarget(f"The tenant has over {MAX_ID_BYTES} bytes.")
    return _given(name)


def _parameters(query: str) -> tuple[tuple[str, str], ...]:
    """Decode ``application/x-www-form-urlencoded``, as Elasticsearch does, but strictly."""
    if not _PARAMETER.fullmatch(query):
        raise InvalidTarget("The query is not encoded as it should be, or holds ';' or '#'.")
    pairs = []
    for parameter in filter(None, query.replace("+", " ").split("&")):
        name, _, value = parameter.partition("=")
        try:
            pairs.append((unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()))
        except UnicodeDecodeError as exc:
            raise InvalidTarget("The query is not UTF-8.") from exc
    return tuple(pairs)
