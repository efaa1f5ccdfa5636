"""The file of audit lines: several workers, a full disk, a slow one, an intent before the act."""

import asyncio
import fcntl
import json
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from signals_proxy.errors import ConfigError, NotRecorded
from signals_proxy.telemetry.audit import LOGGER, Audit, AuditSettings, Entry
from signals_proxy.telemetry.line_file import LineFile

SIZE = 64 * 1024 * 1024
"""Far above what anything else in these tests writes."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A large file without disk space of its own, whose last byte ends a line."""
    file = tmp_path / "audit.json"
    with file.open("wb") as opened:
        opened.seek(SIZE - 1)
        opened.write(b"\n")
    return file


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """Have no file of this process grow beyond ``size``, as on a disk that is full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Hold the lock of a file: the disk is as slow as one can be."""
    with file.open("rb") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@asynccontextmanager
async def opened(file: Path, **more: Any) -> AsyncIterator[Audit]:
    """Write to the file; when the block ends, every line is there. ``more`` is that of ``Audit``."""
    audit = Audit(AuditSettings(file, required=True), **more)
    try:
        yield audit
    finally:
        await audit.close()


def entry(request_id: str = "r1") -> Entry:
    return Entry(request_id, "PUT", "192.0.2.1", action="put", account="email/a", user="kim")


def written(file: Path) -> list[bytes]:
    """Return the lines that were written to the file."""
    with file.open("rb") as opened:
        opened.seek(SIZE)
        return opened.read().splitlines()


def called(audit: Audit, *request_ids: str) -> None:
    for request_id in request_ids:
        with audit.call(entry(request_id)) as call:
            call.status = 200


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """Return a function that reads what the log tells about the file, each with its reason."""
    caplog.set_level("INFO")
    return lambda: [
        (record.getMessage(), str(record.__dict__["fields"].get("reason", "")))
        for record in caplog.records
        if record.name == "signals_proxy.telemetry"
    ]


@pytest.fixture
def instead(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that reads of which requests the lines went to the log."""
    return lambda: [
        json.loads(record.getMessage())["http.request.id"]
        for record in caplog.records
        if record.name == LOGGER
    ]


async def test_a_new_file(tmp_path: Path) -> None:
    """It is made for its owner alone, and every line is in it once the audit is closed."""
    file = tmp_path / "new.json"
    async with opened(file) as audit:
        called(audit, *(f"r{n}" for n in range(100)))
    assert file.stat().st_mode & 0o777 == 0o600
    ids = [json.loads(line)["http.request.id"] for line in file.read_text().splitlines()]
    assert ids == [f"r{n}" for n in range(100)]


async def test_several_append(file: Path) -> None:
    """Lines of several writers to one file never mix, and those that were there stay."""
    async with opened(file) as one, opened(file) as other:
        for n in range(300):
            called(one, f"one-{n}")
            called(other, f"other-{n}")
    ids = [json.loads(line)["http.request.id"] for line in written(file)]
    assert sorted(ids) == sorted(f"{who}-{n}" for who in ("one", "other") for n in range(300))


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Path.mkdir, "cannot be opened: is a directory"),
        (os.mkfifo, "not a regular file"),
        (make_socket, "cannot be opened: no such device or address"),
        (lambda path: path.symlink_to("/dev/full"), "not a regular file"),
        (lambda path: path.symlink_to("/nowhere/audit.json"), "no such file or directory"),
        (lambda path: path.symlink_to("/sys/audit.json"), "cannot be opened: "),
    ],
)
def test_what_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, reason: str
) -> None:
    """What is no file, or cannot be one, is an error that names it, the setting and the remedy."""
    monkeypatch.chdir(tmp_path)  # a socket's name may not be long
    file = Path("audit.json")
    make(file)
    with pytest.raises(ConfigError) as raised:
        Audit(AuditSettings(file))
    assert raised.value.path == "audit.file"
    assert raised.value.message.startswith("audit.json: ")
    assert reason in raised.value.message
    assert raised.value.remedy.startswith("name ")


def test_no_name_of_a_file() -> None:
    with pytest.raises(ConfigError, match="no name of a file"):
        Audit(AuditSettings(Path("a\0b")))


async def test_a_full_disk(file: Path, logged: Any, instead: Any) -> None:
    """Lines go to the log meanwhile; why is told once. What fitted of a line is all that is there."""
    with full_at(SIZE + 10):
        async with opened(file) as audit:
            called(audit, "r1", "r2")
    assert instead() == ["r1", "r2"]
    assert logged() == [("audit lines go to the log", "file too large")]
    assert written(file) == [b'{"@timesta']


async def test_a_disk_that_is_mended(file: Path, logged: Any, instead: Any) -> None:
    """The line after one that was cut stands alone, whoever writes it; that it goes on is told."""
    async with opened(file) as audit, opened(file) as other:
        with full_at(SIZE + 10), pytest.raises(NotRecorded, match="nothing was done"):
            await audit.intend(entry("r1"))
        await other.intend(entry("r2"))
        await audit.intend(entry("r3"))
    cut, *whole = written(file)
    assert cut == b'{"@timesta'
    assert [json.loads(line)["http.request.id"] for line in whole] == ["r2", "r3"]
    assert instead() == ["r1"]
    assert [event for event, _ in logged()] == [
        "audit lines go to the log",
        "audit lines go to their file again",
    ]


async def test_a_deleted_file(file: Path, logged: Any, instead: Any) -> None:
    """What nobody can read any more is not recorded; a file that was moved goes on."""
    async with opened(file) as audit:
        moved = await asyncio.to_thread(file.rename, file.with_name("moved.json"))
        await audit.intend(entry("r1"))
        moved.unlink()
        with pytest.raises(NotRecorded):
            await audit.intend(entry("r2"))
    assert instead() == ["r2"]
    ((_, reason),) = logged()
    assert reason == "the file has been deleted: reload to make another"


async def test_an_intent(file: Path) -> None:
    """It is in the file before the act, and says who is about to do what; the outcome follows."""
    async with opened(file) as audit:
        with audit.call(entry()) as call:
            call.allowed = True
            await audit.intend(call)
            (line,) = map(json.loads, written(file))
            assert line["signals_proxy.phase"] == "intent"
            assert line["event.type"] == ["start", "allowed"]
            assert line["http.request.id"] == "r1"
            assert line["signals_proxy.account"] == "email/a"
            assert line["user.name"] == "kim"
            assert "event.outcome" not in line
            call.status, call.result = 201, "created"
    assert [json.loads(it)["signals_proxy.phase"] for it in written(file)] == ["intent", "outcome"]


async def test_no_intent_where_none_is_required(file: Path) -> None:
    audit = Audit(AuditSettings(file))
    await audit.intend(entry())
    await audit.close()
    assert written(file) == []


async def test_the_loop_never_waits(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the disk does not answer calls go on; who waits for an intent may leave."""
    async with opened(file) as audit:
        with held(file):
            called(audit, "r1")
            leaving = asyncio.create_task(audit.intend(entry("r2")))
            await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert written(file) == []
    assert len(written(file)) == 2
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_disk_that_does_not_answer(file: Path) -> None:
    """Nobody waits for ever for an intent."""
    async with opened(file, patience_s=0.01) as audit:
        with held(file), pytest.raises(NotRecorded):
            await audit.intend(entry())


async def test_a_slow_disk(file: Path, logged: Any) -> None:
    """What waits for the disk is bounded: the lines beyond go to the log, which is told once."""
    elsewhere: list[str] = []
    slow = LineFile(file, elsewhere.append, most_waiting=2)
    with held(file):
        waiting = [slow.append(line) for line in "abcd"]
    assert await asyncio.gather(*waiting) == [True, True, False, False]
    assert await slow.append("e")
    await slow.close()
    assert elsewhere == ["c", "d"]
    assert written(file) == [b"a", b"b", b"e"]
    assert logged()[0] == ("audit lines go to the log", "the disk does not keep up")
    assert logged()[1:] == [("audit lines go to their file again", "")]
