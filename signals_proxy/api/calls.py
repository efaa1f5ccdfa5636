"""What calls the account API has, as data: its OpenAPI document is made of it.

Rules of the file: a call is one row of ``CALLS``, a query parameter one of ``PARAMETERS``, a field one
of ``FIELDS``, a status that is an error one of ``ERRORS``. Nothing here knows of a single account type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from signals_proxy.account import search
from signals_proxy.api import parameters

__all__ = [
    "CALLS",
    "COMMON",
    "ERRORS",
    "FIELDS",
    "OF_ACCOUNT",
    "OF_EVERY_CALL",
    "OF_THE_CLUSTER",
    "PARAMETERS",
    "Call",
]

OF_ACCOUNT: Final = "/{type}/{id}"
COMMON: Final = (*sorted(parameters.COMMON),)
_SEARCHING: Final = (*sorted(search.PARAMETERS), "source", "source_content_type")


_Schema: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A call. ``answers`` and ``body`` name schemas, or ``{type}`` for the one of the path's type.

    ``errors`` are those beside the ones that every call has. ``anybody`` needs no rights, and is
    about no account, so there is no tenant.
    """

    methods: tuple[str, ...]
    path: str
    name: str
    summary: str
    answers: Mapping[int, str]
    parameters: tuple[str, ...] = ()
    body: str | None = None
    errors: tuple[int, ...] = ()
    anybody: bool = False


CALLS: Final = (
    Call(
        methods=("PUT",),
        path=OF_ACCOUNT,
        name="put",
        summary="Create an account, or replace it",
        answers={200: "Written", 201: "Written"},
        parameters=(*sorted(parameters.PUT),),
        body="{type}",
        errors=(409, 413, 415),
    ),
    Call(
        methods=("GET", "HEAD"),
        path=OF_ACCOUNT,
        name="get",
        summary="Read an account, its secrets redacted",
        answers={200: "Found"},
        errors=(404,),
    ),
    Call(
        methods=("DELETE",),
        path=OF_ACCOUNT,
        name="delete",
        summary="Delete an account that is not in use",
        answers={200: "Deleted"},
        parameters=(*sorted(parameters.DELETE),),
        errors=(404, 409),
    ),
    Call(
        methods=("POST",),
        path=f"{OF_ACCOUNT}/_send",
        name="send",
        summary="Deliver a message through an account",
        answers={200: "Delivered"},
        parameters=("Idempotency-Key",),
        body="{type}Message",
        errors=(404, 409, 413, 415, 424),
    ),
    Call(
        methods=("POST",),
        path=f"{OF_ACCOUNT}/_test",
        name="test",
        summary="Check an account, or a draft of it, without sending to anybody",
        answers={200: "Tested"},
        body="{type}",
        errors=(404, 409, 413, 415, 424),
    ),
    Call(
        methods=("GET", "HEAD"),
        path=f"{OF_ACCOUNT}/_status",
        name="status",
        summary="What happened to an account lately",
        answers={200: "Status"},
        errors=(404,),
    ),
    Call(
        methods=("GET",),
        path="/_search",
        name="list",
        summary="Search accounts; a body is taken as well",
        answers={200: "SearchAnswer"},
        parameters=_SEARCHING,
        errors=(413, 415),
    ),
    Call(
        methods=("POST",),
        path="/_search",
        name="search",
        summary="Search accounts",
        answers={200: "SearchAnswer"},
        parameters=_SEARCHING,
        body="Search",
        errors=(413, 415),
    ),
    Call(
        methods=("GET", "HEAD"),
        path="/_schema",
        name="schemas",
        summary="The JSON Schemas of all account types, by name",
        answers={200: "Schemas"},
        anybody=True,
    ),
    Call(
        methods=("GET", "HEAD"),
        path="/_schema/{type}",
        name="schema",
        summary="The JSON Schema of one account type",
        answers={200: "Schema"},
        errors=(404,),
        anybody=True,
    ),
    Call(
        methods=("GET", "HEAD"),
        path="/_openapi",
        name="openapi",
        summary="This document",
        answers={200: "Schema"},
        anybody=True,
    ),
    Call(
        methods=("GET", "HEAD"),
        path="/_key",
        name="key",
        summary="The registry's public key, for sealing account files",
        answers={200: "Key"},
        anybody=True,
    ),
)

ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    400: (
        "BadRequest",
        "Something is malformed, or 'detail' tells every error of the account or message.",
    ),
    401: ("Unauthorized", "The request carries no identity."),
    403: (
        "Forbidden",
        "The caller may not do this, or is a web page; or a recipient is not allowed.",
    ),
    404: ("NotFound", "There is no such thing."),
    405: ("MethodNotAllowed", "What another method gets here."),
    408: ("RequestTimeout", "The request did not come in time."),
    409: (
        "Conflict",
        "Another version is stored, one that cannot be kept, or the account is in use, or unusable.",
    ),
    413: ("ContentTooLarge", "The body is over the limit."),
    415: ("UnsupportedMediaType", "The body's media type or coding is not understood."),
    424: (
        "FailedDependency",
        "The service did not take it, or nobody knows: a repeat would not help, or deliver twice.",
    ),
    429: ("TooManyRequests", "Too many log-ins have failed, or deliveries; see 'Retry-After'."),
    431: ("RequestHeaderFieldsTooLarge", "The request's head is over the limit."),
    501: ("NotImplemented", "A feature of HTTP that the proxy does not have."),
    502: (
        "BadGateway",
        "What the cluster did is not known; with 'step': nothing was handed over to the service.",
    ),
    503: ("ServiceUnavailable", "Nothing was done; a repeat may succeed."),
    504: ("GatewayTimeout", "The cluster did not answer in time: what was done is not known."),
}
OF_EVERY_CALL: Final = (400, 403, 405, 408, 431, 501, 503)
OF_THE_CLUSTER: Final = (401, 429, 502, 504)

_SWITCH: Final = {"type": "string", "enum": ["true", "false", ""]}
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0, "maximum": 10_000}
_LONG: Final = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_KEY: Final = "^[!-~](?:[ -~]*[!-~])?$"
_NO_EFFECT: Final = "As in Elasticsearch; has no effect here."
FIELDS: Final[Mapping[str, tuple[_Schema, str]]] = {
    "Idempotency-Key": (
        {"type": "string", "pattern": _KEY, "maxLength": 255},
        "Becomes the message's id, where the service has one, so that a repeat can be dropped.",
    ),
}
"""Fields of requests that mean something to a call."""

PARAMETERS: Final[Mapping[str, tuple[_Schema, str]]] = {
    "pretty": (_SWITCH, "Lay out the answer for people."),
    "human": (_SWITCH, _NO_EFFECT),
    "error_trace": (_SWITCH, _NO_EFFECT),
    "filter_path": (_TEXT, "Which members the answer has; as in Elasticsearch."),
    "dry_run": (_SWITCH, "Answer as without it, and write nothing."),
    "op_type": (
        {"type": "string", "enum": ["index", "create"]},
        "'create': 409 if the account exists.",
    ),
    "if_seq_no": (_LONG, "409 unless this version is stored; together with if_primary_term."),
    "if_primary_term": ({**_LONG, "minimum": 1}, "Together with if_seq_no."),
    "q": (_TEXT, "A query in Elasticsearch's query string syntax."),
    "df": (_TEXT, "The field that 'q' is about where it names none."),
    "default_operator": (_TEXT, "'and' or 'or': what stands between the words of 'q'."),
    "lenient": (_SWITCH, "What fits no field of 'q' is no error."),
    "analyze_wildcard": (_SWITCH, "Patterns in 'q' are analysed."),
    "from": (_COUNT, "How many hits to skip."),
    "size": (_COUNT, "How many hits to return; 10 unless said otherwise."),
    "sort": (_TEXT, "Fields, each with ':asc' or ':desc', with commas between."),
    "scroll": (
        _TEXT,
        "Answer with a '_scroll_id', for the next page from /_search/scroll; a time such as 25s.",
    ),
    "track_total_hits": (
        {"type": "string", "pattern": "^(?:true|false|-?[0-9]+|)$"},
        "Whether hits are counted, or up to how many.",
    ),
    "rest_total_hits_as_int": (_SWITCH, "Give 'hits.total' as a number."),
    "_source": (_TEXT, "'true', 'false', or which members hits have."),
    "_source_includes": (_TEXT, "Which members hits have."),
    "_source_excludes": (_TEXT, "Which members hits do not have."),
    "typed_keys": (_TEXT, _NO_EFFECT),
    "source": (_TEXT, "The body, where a client cannot send one; with source_content_type."),
    "source_content_type": (_TEXT, "The media type of 'source'."),
    "ignore_unavailable": (_TEXT, _NO_EFFECT),
    "allow_no_indices": (_TEXT, _NO_EFFECT),
    "expand_wildcards": (_TEXT, _NO_EFFECT),
    "ignore_throttled": (_TEXT, _NO_EFFECT),
    "preference": (_TEXT, _NO_EFFECT),
    "search_type": (
        {"type": "string", "enum": ["query_then_fetch", "dfs_query_then_fetch"]},
        _NO_EFFECT,
    ),
}
