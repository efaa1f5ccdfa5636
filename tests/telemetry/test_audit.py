"""One audit line for each call, whatever becomes of it."""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from signals_proxy.telemetry.audit import LOGGER, Audit, Entry

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def audit() -> Audit:
    """An audit whose every look at the clock comes 250 ms after the one before."""

    def ticks() -> Iterator[datetime]:
        now = START
        while True:
            yield now
            now += timedelta(milliseconds=250)

    clock = ticks()
    return Audit(clock=lambda: next(clock))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Return a function that reads the lines written so far."""
    caplog.set_level(logging.INFO, LOGGER)
    return lambda: [json.loads(it.getMessage()) for it in caplog.records if it.name == LOGGER]


def entry(**fields: Any) -> Entry:
    return Entry(request_id="r1", method="PUT", address="192.0.2.1", **fields)


def test_a_call_that_ends_well(audit: Audit, lines: Any) -> None:
    """The line holds everything that is known, under the names of the Elastic Common Schema."""
    with audit.call(entry(opaque_id="o1", traceparent="00-1-2-01")) as call:
        call.action, call.account, call.user = "put", "ops/email/default", "kim"
        call.tenant = "ops"
        call.allowed, call.result, call.status = True, "created", 201
    assert lines() == [
        {
            "@timestamp": "2026-03-01T12:00:00.250Z",
            "log.level": "info",
            "ecs.version": "9.0.0",
            "message": "account call ended",
            "event.kind": "event",
            "event.category": ["api"],
            "event.type": ["end", "allowed", "creation"],
            "event.dataset": "signals_proxy.audit",
            "event.action": "account/put",
            "event.outcome": "success",
            "event.duration": 250_000_000,
            "user.name": "kim",
            "client.address": "192.0.2.1",
            "client.ip": "192.0.2.1",
            "http.request.id": "r1",
            "http.request.method": "PUT",
            "http.response.status_code": 201,
            "signals_proxy.account": "ops/email/default",
            "signals_proxy.tenant": "ops",
            "signals_proxy.allowed": True,
            "signals_proxy.phase": "outcome",
            "signals_proxy.result": "created",
            "signals_proxy.x_opaque_id": "o1",
            "signals_proxy.traceparent": "00-1-2-01",
        }
    ]


def test_a_refusal(audit: Audit, lines: Any) -> None:
    """A refused call is a failure; what is not known is left out."""
    with audit.call(entry()) as call:
        call.action, call.allowed, call.status, call.error = "get", False, 403, "Forbidden"
    (line,) = lines()
    assert line["event.outcome"] == "failure"
    assert line["event.type"] == ["end", "denied"]
    assert line["signals_proxy.allowed"] is False
    assert "user.name" not in line


@pytest.mark.parametrize(
    ("fields", "types"),
    [
        ({"action": "get", "allowed": True, "status": 200}, ["allowed", "access"]),
        ({"action": "search", "allowed": True, "status": 200}, ["allowed", "access"]),
        ({"action": "get", "allowed": True, "status": 404}, ["allowed"]),
        (
            {"action": "put", "allowed": True, "status": 200, "result": "updated"},
            ["allowed", "change"],
        ),
        ({"action": "put", "allowed": True, "status": 200, "result": "dry_run"}, ["allowed"]),
        ({"action": "delete", "allowed": True, "result": "deleted"}, ["allowed", "deletion"]),
        ({"status": 400}, []),
    ],
)
def test_types(audit: Audit, lines: Any, fields: dict[str, Any], types: list[str]) -> None:
    """What was done, if anything, is told in the schema's own words."""
    with audit.call(entry(**fields)):
        pass
    assert lines()[0]["event.type"] == ["end", *types]


@pytest.mark.parametrize("address", [None, "a.test", "fe80::1%eth0"])
def test_what_is_no_ip(audit: Audit, lines: Any, address: str | None) -> None:
    """An index of these lines takes only addresses as such; what is none is told as it is."""
    with audit.call(Entry("r1", "GET", address)):
        pass
    assert lines()[0].get("client.address") == address
    assert "client.ip" not in lines()[0]


def test_a_crash(audit: Audit, lines: Any) -> None:
    """An exception passes through, and its kind, never its text, is in the one line."""
    with pytest.raises(KeyError), audit.call(entry()):
        raise KeyError("hunter2")
    (line,) = lines()
    assert (line["event.outcome"], line["error.type"]) == ("unknown", "KeyError")
    assert "hunter2" not in json.dumps(line)


async def test_a_cancelled_call(audit: Audit, lines: Any) -> None:
    """A client that leaves has its line too, without a status, for no answer was given."""

    async def work() -> None:
        with audit.call(entry()) as call:
            call.status = 200
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (line,) = lines()
    assert (line["event.outcome"], line["error.type"]) == ("unknown", "cancelled")
    assert "http.response.status_code" not in line


def test_cancelled_after_the_act(audit: Audit, lines: Any) -> None:
    """What was done counts as done, also if nobody was left to be told."""
    with pytest.raises(asyncio.CancelledError), audit.call(entry()) as call:
        call.result = "deleted"
        raise asyncio.CancelledError
    (line,) = lines()
    assert (line["event.outcome"], line["signals_proxy.result"]) == ("success", "deleted")


def test_values_of_the_caller_are_tamed(
    audit: Audit, caplog: pytest.LogCaptureFixture, lines: Any
) -> None:
    """A caller can neither begin a new line, nor make one of any length, nor format the message."""
    caplog.set_level(logging.INFO, LOGGER)
    with audit.call(entry(opaque_id="a\r\n{}\x1b[0m%s\u2028" + "x" * 100_000)) as call:
        call.status = 200
    (record,) = caplog.records
    message = record.getMessage()
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 2000
    assert lines()[0]["signals_proxy.x_opaque_id"][:12] == "a\r\n{}\x1b[0m%s\u2028"
    assert len(lines()[0]["signals_proxy.x_opaque_id"]) == 1024


def test_the_real_clock(lines: Any) -> None:
    """Without another clock the time is UTC's."""
    before = datetime.now(UTC)
    with Audit().call(entry()):
        pass
    (line,) = lines()
    assert before - timedelta(seconds=1) <= datetime.fromisoformat(line["@timestamp"])
