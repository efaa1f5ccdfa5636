"""Log lines, and what workers tell their supervisor."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from signals_proxy.errors import ConfigError
from signals_proxy.telemetry.log import Log, _Lines
from signals_proxy.telemetry.status import ClusterState, Failed, Started, Status, StatusPipe, read


def _line(record: logging.LogRecord) -> str:
    return re.sub(r"^time=\S+ ", "", _Lines().format(record))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_fields(told: pytest.LogCaptureFixture) -> None:
    """A line is `key=value`; values that could be taken apart are quoted."""
    log = Log("part")
    log.info("begun", pid=3, name='a "b"\nc', none="")
    log.warning("odd")
    log.error("broken", path="a=b")
    assert [_line(record) for record in told.records] == [
        'level=info part=part event=begun pid=3 name="a \\"b\\"\\nc" none=""',
        "level=warning part=part event=odd",
        'level=error part=part event=broken path="a=b"',
    ]


def test_time(told: pytest.LogCaptureFixture) -> None:
    """A line begins with its time in UTC."""
    Log("part").info("begun")
    expected = r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 level=info .*"
    assert re.fullmatch(expected, _Lines().format(told.records[0]))


def test_exceptions_without_messages(told: pytest.LogCaptureFixture) -> None:
    """Of an exception the log gets the way and the type: its message may quote a request."""
    try:
        int("hunter2-" + "x")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request")
    first, *way = _line(told.records[0]).splitlines()
    assert first == 'level=error part=aiohttp.server event="Error handling request"'
    assert way[-1] == "  builtins.ValueError"
    assert __file__ in way[0]
    assert "hunter2-x" not in "".join(way)


def test_set_up() -> None:
    """Everything goes to standard error; audit lines as they are; libraries keep quiet."""
    code = """
import logging
from signals_proxy.telemetry import log
log.set_up()
logging.getLogger("signals_proxy.audit").info('{"a": 1}')
logging.getLogger("elastic_transport.transport").warning("no")
log.Log("x").info("yes")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    audit, own = found.stderr.splitlines()
    assert (found.stdout, audit) == ("", '{"a": 1}')
    assert own.endswith(" level=info part=x event=yes")


@pytest.mark.parametrize(
    "status",
    [
        Started(),
        ClusterState(answers=True),
        ClusterState(answers=False, reason="no\nnode"),
        Failed("no", "do", "/f", 3, "a.b"),
    ],
)
def test_status(status: Status) -> None:
    """What is told through the pipe arrives as it was, one line each."""
    reading, writing = os.pipe()
    StatusPipe(writing).tell(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        (line,) = lines
    assert status == read(line)


@pytest.mark.parametrize(
    "error",
    [ConfigError("m"), ConfigError("m", remedy="r", file=Path("/f"), line=1, path="p")],
)
def test_errors_travel_whole(error: ConfigError) -> None:
    """An error that a worker found is the same in its supervisor."""
    assert vars(error) == vars(Failed.of(error).error())


def test_nobody_listens() -> None:
    """A worker whose supervisor is gone does not end by telling it something."""
    reading, writing = os.pipe()
    os.close(reading)
    StatusPipe(writing).tell(Started())
    os.close(writing)
