"""The account API as an OpenAPI 3.1 document.

A call (a row of ``calls.CALLS``) becomes a path for each account type, and one more in a tenant: so
each type's body stands where it belongs, and a further type is found here without a line.

Rule of the file: what an answer may lack is not required of it, and that is every member of one that
is no error, for ``filter_path`` can leave out anything.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from signals_proxy.account.account_type import AccountType
from signals_proxy.account.message import MessageSchema
from signals_proxy.account.ref import MAX_ID_BYTES
from signals_proxy.api.bodies import bodies
from signals_proxy.api.calls import (
    CALLS,
    COMMON,
    ERRORS,
    FIELDS,
    OF_ACCOUNT,
    OF_EVERY_CALL,
    OF_THE_CLUSTER,
    PARAMETERS,
    Call,
)
from signals_proxy.api.published import any_case, schema

__all__ = ["openapi"]

_Object: TypeAlias = dict[str, Any]

_MESSAGE: Final = "Message"
_PREFIX: Final = "/_signals/account"
_MEDIA_TYPES: Final = ("application/json", "application/vnd.elasticsearch+json")
# As ``account.ref`` has it.
_NAME: Final = r"(?!_|\.\.?$)[^/\\*?\x00-\x1f\x7f-\x9f\u2028\u2029]+"


def openapi(
    types: Mapping[str, AccountType], messages: Mapping[str, MessageSchema], version: str
) -> dict[str, Any]:
    """Return the document. ``version`` is that of the program."""
    paths: dict[str, _Object] = {}
    for call in CALLS:
        for path, type_name in _paths(call, messages if _sends(call) else types):
            methods = paths.setdefault(path, _path(path))
            for method in call.methods:
                methods[method.lower()] = _operation(call, method, path, type_name)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Account API of signals-proxy",
            "description": "Connection data and credentials of notification services, in the"
            " shape of an Elasticsearch API. Bodies may be gzipped.",
            "version": version,
        },
        "servers": [{"url": "/"}],
        # The cluster's own users; none at all only where the proxy is told to ask nobody.
        "security": [{"basic": []}, {"apiKey": []}, {"bearer": []}, {}],
        "tags": [{"name": name} for name in types],
        "paths": paths,
        "components": {
            "schemas": {
                **bodies(),
                **{name: _body(its) for name, its in types.items()},
                **{f"{name}{_MESSAGE}": _message(its) for name, its in messages.items()},
            },
            "parameters": _parameters(types),
            "responses": _responses(),
            "headers": _HEADERS,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "'ApiKey ' and the key, as Elasticsearch encodes it.",
                },
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


# --- paths ---------------------------------------------------------------------------------------


def _sends(call: Call) -> bool:
    """Tell whether a call takes messages: a type that has none has no such call."""
    return (call.body or "").endswith(_MESSAGE)


def _paths(call: Call, types: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the paths of a call, and of which type each is."""
    for tenant in ("",) if call.anybody else ("", "/{tenant}"):
        if call.path.startswith(OF_ACCOUNT):
            for name in types:
                yield f"{_PREFIX}{tenant}{call.path.replace('{type}', name)}", name
        else:
            yield f"{_PREFIX}{tenant}{call.path}", None


def _path(path: str) -> _Object:
    """Return what all methods of a path have in common, and the one that tells the others."""
    named = [name for name in ("tenant", "type", "id") if f"{{{name}}}" in path]
    answer = {"description": "Which methods there are.", "headers": _headers("Allow")}
    return {
        "parameters": [_ref("parameters", name) for name in named],
        "options": {
            "operationId": f"options{path.removeprefix(_PREFIX)}".translate(_TO_A_NAME),
            "summary": "Which methods there are",
            "security": [],
            "responses": {"200": {**answer, "content": {"text/plain": {}}}, **_errors(())},
        },
    }


_TO_A_NAME: Final = str.maketrans({"/": "_", "{": None, "}": None, "-": "_"})


def _operation(call: Call, method: str, path: str, type_name: str | None) -> _Object:
    names = ("head" if method == "HEAD" else "", call.name, type_name or "")
    where = "in_tenant" if "{tenant}" in path else ""
    errors = (*call.errors, *(() if call.anybody else OF_THE_CLUSTER))
    answers = {str(status): _ref("responses", name) for status, name in call.answers.items()}
    answers |= _errors(errors)
    if method == "HEAD":
        answers = {status: {"$ref": it["$ref"] + _BARE} for status, it in answers.items()}
    operation: _Object = {
        "operationId": "_".join(filter(None, (*names, where))).replace("-", "_"),
        "summary": call.summary,
        "parameters": [_ref("parameters", name) for name in (*call.parameters, *COMMON)],
        "responses": answers,
    }
    if type_name:
        operation["tags"] = [type_name]
    if call.anybody:
        operation["security"] = []
    if call.body:
        body = _ref("schemas", call.body.replace("{type}", type_name or ""))
        operation["requestBody"] = {
            "required": method == "PUT" or _sends(call),
            "content": _content(body),
        }
    return operation


def _errors(further: tuple[int, ...]) -> dict[str, _Object]:
    return {
        str(status): _ref("responses", ERRORS[status][0])
        for status in sorted({*OF_EVERY_CALL, *further})
    }


# --- components ----------------------------------------------------------------------------------

_HEADERS: Final = {
    "X-elastic-product": {
        "description": "As the cluster gives it, if it does: clients look for it.",
        "schema": {"type": "string"},
    },
    "Warning": {
        "description": "'299' and what is weak about the account, or that it was in use.",
        "schema": {"type": "string"},
    },
    "Allow": {
        "description": "The methods that there are.",
        "required": True,
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "The cluster's own challenges.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "string"}},
}
_FIELDS_OF: Final = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After",),
    502: ("Retry-After",),
    503: ("Retry-After",),
}
_BARE: Final = "WithoutBody"


def _responses() -> _Object:
    """Return every answer that there is, and again without its body, for HEAD."""
    whole = {
        name: _response(text, "Error", *_FIELDS_OF.get(status, ()))
        for status, (name, text) in ERRORS.items()
    }
    for call in CALLS:
        # Other answers have no warnings: strict clients fail on any.
        fields = ("Warning",) if {"PUT", "DELETE"} & {*call.methods} else ()
        whole |= {name: _response("Done.", name, *fields) for name in call.answers.values()}
    bare = {f"{name}{_BARE}": {**it, "content": {}} for name, it in whole.items()}
    return {**whole, **bare}


def _response(text: str, name: str, *fields: str) -> _Object:
    return {
        "description": text,
        "headers": _headers("X-elastic-product", *fields),
        "content": _content(_ref("schemas", name)),
    }


def _body(account_type: AccountType) -> _Object:
    """Return a type's published schema, without what only a document of its own has."""
    published = schema(account_type)
    return {key: published[key] for key in published if key not in {"$schema", "$id", "$defs"}}


def _message(of_messages: MessageSchema) -> _Object:
    return {key: it for key, it in of_messages.schema.items() if key not in {"$schema", "$id"}}


def _parameters(types: Mapping[str, AccountType]) -> _Object:
    names = "|".join(any_case(name) for name in types)
    name_of = {"type": "string", "maxLength": MAX_ID_BYTES}
    tenant = f"^(?:_main|(?!(?:{names})$){_NAME})$"
    of_path: Mapping[str, tuple[_Object, str]] = {
        "id": (
            {**name_of, "pattern": f"^{_NAME}$"},
            f"With type and tenant at most {MAX_ID_BYTES} bytes.",
        ),
        "tenant": (
            {**name_of, "pattern": tenant},
            "Not named like a type. '_main' is the global tenant.",
        ),
        "type": ({"type": "string", "enum": [*types]}, "In upper or lower case."),
    }
    return {
        name: {
            "name": name,
            "in": place,
            "required": place == "path",
            "description": text,
            "schema": its,
        }
        for place, table in (("path", of_path), ("query", PARAMETERS), ("header", FIELDS))
        for name, (its, text) in table.items()
    }


def _content(its: _Object) -> _Object:
    return {media_type: {"schema": its} for media_type in _MEDIA_TYPES}


def _headers(*names: str) -> _Object:
    return {name: _ref("headers", name) for name in names}


def _ref(kind: str, name: str) -> _Object:
    return {"$ref": f"#/components/{kind}/{name}"}
