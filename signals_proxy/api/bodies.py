"""The bodies of the account API that are no account: a schema for each, by name.

``calls.CALLS`` says which call has which.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from signals_proxy.account.sealing import Integrity
from signals_proxy.delivery.delivery import AUTHENTICATED, REACHABLE
from signals_proxy.delivery.report import Reason, Step
from signals_proxy.registry.health import KINDS, MEMBERS

__all__ = ["bodies"]

_Schema: TypeAlias = dict[str, Any]
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0, "maximum": 10_000}


def bodies() -> dict[str, _Schema]:
    """Return the schema of each, by the name that ``calls.CALLS`` has for it."""
    count: _Schema = {"type": "integer"}
    anything: _Schema = {"type": "object"}
    text = _TEXT
    version = {"_version": count, "_seq_no": count, "_primary_term": count}
    detail = _object({"error": text, "value": {}, "expected": {}}, "error")
    details = {
        "description": "What is wrong with an account, by attribute.",
        "type": "object",
        "additionalProperties": _array(detail),
    }
    cause = _object({"type": text, "reason": text}, "type")
    account = {
        **_object({"type": text, "_name": text, "_tenant": text}),
        "additionalProperties": True,
        "description": "The attributes, defaults included. A stored secret is '::es_redacted::'.",
    }
    number = {**_COUNT, "type": ["integer", "string"]}
    seal = {
        "integrity": {"enum": [state.value for state in Integrity]},
        "remedy": {**text, "description": "What to do, unless 'integrity' is 'verified'."},
    }
    hit = {"_index": text, "_id": text, "_score": {"type": ["number", "null"]}}
    total = {"anyOf": [count, _object({"value": count, "relation": text})]}
    hit |= {**seal, "_source": account, "sort": _array({})}
    hits = _array(_object({**hit, "matched_queries": _array(text)}))
    return {
        "Error": {
            **_object(
                {
                    "status": count,
                    "error": {"anyOf": [text, cause]},
                    "detail": details,
                    "step": {"enum": [step.value for step in Step]},
                    "reason": {"enum": [reason.value for reason in Reason]},
                    "duration_ms": count,
                    "answer": anything,
                },
                *("status", "error"),
            ),
            "description": "In 'error' words, or an object where the request never became a call.",
        },
        "Written": _object(
            {
                "_id": text,
                **version,
                "result": {"enum": ["created", "updated", "noop"]},
                "dry_run": {"const": True},
            }
        ),
        "Found": _object(
            {
                "_id": text,
                "found": {"const": True},
                **version,
                **seal,
                "_source": account,
            }
        ),
        "Delivered": _object(
            {"delivered": {"type": "boolean"}, "duration_ms": count, "answer": anything}
        ),
        "Tested": _object(
            {
                "_id": text,
                "proved": {"enum": [AUTHENTICATED, REACHABLE]},
                "duration_ms": count,
                "steps": _array(_object({"step": text, "duration_ms": count})),
            }
        ),
        "Status": _object(
            {
                "_id": text,
                **seal,
                "disabled": {"type": "boolean"},
                **dict.fromkeys(KINDS, _object(dict.fromkeys(MEMBERS, text), "at")),
                "expires_at": text,
                "days_to_expiry": count,
            }
        ),
        "Deleted": _object({"_id": text, "_version": count, "result": {"const": "deleted"}}),
        "Search": {
            **_object(
                {
                    "query": anything,
                    "sort": {},
                    "from": number,
                    "size": number,
                    "search_after": _array({}),
                    "track_total_hits": {"type": ["boolean", "integer", "string"]},
                    "_source": {"type": ["boolean", "string", "array", "object"]},
                }
            ),
            "additionalProperties": False,
            "examples": [{"query": {"term": {"type": "email"}}, "sort": ["_name"], "size": 20}],
        },
        "SearchAnswer": _object(
            {
                "took": count,
                "timed_out": {"type": "boolean"},
                "_shards": anything,
                "_scroll_id": text,
                "hits": _object(
                    {"total": total, "max_score": {"type": ["number", "null"]}, "hits": hits}
                ),
            }
        ),
        "Schemas": {"type": "object", "additionalProperties": anything},
        "Schema": anything,
        "Key": _object({"key": text, "fingerprint": {**text, "pattern": "^[0-9a-f]{32}$"}}),
    }


def _object(members: Mapping[str, Any], *required: str) -> _Schema:
    return {"type": "object", "properties": {**members}, "required": [*required]}


def _array(items: _Schema) -> _Schema:
    return {"type": "array", "items": items}
