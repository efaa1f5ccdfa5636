"""The cases of Http11Probe, against the whole proxy before a recording upstream.

``conformance.txt`` has one case a line: its name there, the outcomes that count as right, how this
proxy's connection goes, and the bytes, in which ``{5*a}`` stands for five times ``a`` and ``{then}``
for what is sent once the answer to what stands before it is there. An outcome is a status, a class
of such, ``close`` (the connection ends without an answer) or ``waits`` (for more bytes, for good);
one behind ``~`` is what Http11Probe calls a warning.

Each case has a Host of its own, by which what the upstream saw is told apart, and is followed by
one more request on its connection, if that is still open: so whatever was left over, or smuggled,
would show.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from recorder import Message, Recorder, plain_answer, recording
from served import Address, configure, serve

FILE = Path(__file__).with_name("conformance.txt")
HOP_BY_HOP = re.compile(rb"(?i)\r\n(connection|upgrade|keep-alive|te):[^\r\n]*")
GARBAGE = random.Random(42).randbytes(256)


@dataclass(frozen=True)
class Case:
    """One line of the file."""

    name: str
    right: tuple[str, ...]
    ours: tuple[str, ...]
    steps: tuple[bytes, ...]

    def verdict(self) -> str:
        """Return what Http11Probe makes of the first outcome: ``pass``, ``warn`` or ``fail``."""
        kinds = {self.ours[0], f"{self.ours[0][0]}xx"}
        if kinds & set(self.right):
            return "pass"
        return "warn" if {f"~{kind}" for kind in kinds} & set(self.right) else "fail"


def read_cases() -> list[Case]:
    """Return all cases; each has another Host, of the length that stands there."""
    cases = []
    lines = [line for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    for at, line in enumerate(lines):
        name, right, ours, text = line.split(" | ", 3)
        text = re.sub(r"\{(\d+)\*(.+?)\}", lambda m: int(m[1]) * m[2], text)
        text = text.replace("localhost:8080", host_of(at).decode())
        steps = tuple(
            GARBAGE if step == "{garbage}" else _unescaped(step) for step in text.split("{then}")
        )
        cases.append(Case(name.strip(), tuple(right.split()), tuple(ours.split()), steps))
    return cases


def _unescaped(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def host_of(at: int) -> bytes:
    """Return the Host field of a case."""
    return b"localhost:%d" % (8000 + at)


CASES = read_cases()


def origin(message: Message) -> bytes:
    """Answer as an origin server does that leaves nothing to be wished for."""
    method, target = message.method, message.target
    allow = b"Allow: GET, HEAD, OPTIONS, POST\r\n"
    if not target.isascii() or (target == b"*" and method != b"OPTIONS"):
        status = b"400 Bad Request"
    elif method == b"OPTIONS":
        return b"HTTP/1.1 204 No Content\r\n%bX-Target: %b\r\n\r\n" % (allow, target)
    elif method in {b"DELETE", b"TRACE"}:
        status = b"405 Method Not Allowed"
    elif method not in {b"GET", b"HEAD", b"POST"}:
        status = b"501 Not Implemented"
    else:
        return plain_answer(message)
    return b"HTTP/1.1 %b\r\n%bX-Target: %b\r\nContent-Length: 0\r\n\r\n" % (status, allow, target)


@pytest.fixture
async def upstream() -> AsyncIterator[Recorder]:
    """What stands behind the proxy."""
    async with recording(origin) as recorder:
        yield recorder


@pytest.fixture
async def proxy(upstream: Recorder, tmp_path: Path) -> AsyncIterator[Address]:
    """The whole proxy."""
    async with serve(configure(tmp_path, upstream.url)) as served:
        yield await served.served()


async def outcomes(proxy: Address, at: int, case: Case) -> list[str]:
    """Run a case and return what came of it: the statuses until its connection ended."""
    reader, writer = await proxy.connect()
    statuses: list[str] = []
    try:
        for step in case.steps:
            writer.write(step)
            if case.ours == ("waits",):
                writer.write_eof()
            if not await _answer(reader, step.startswith(b"HEAD"), statuses):
                return statuses or ["waits" if case.ours == ("waits",) else "close"]
        writer.write(b"GET /last HTTP/1.1\r\nHost: %b\r\n\r\n" % host_of(at))
        while await _answer(reader, False, statuses):
            if statuses[-1] == "last":
                return statuses[:-1]
    except ConnectionError:
        statuses.append("reset")
    finally:
        writer.close()
    return statuses


async def _answer(reader: asyncio.StreamReader, is_head: bool, statuses: list[str]) -> bool:
    """Read one answer and note its status; return whether another may come."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100 "):
            head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if length and not is_head:
            await reader.readexactly(int(length[1]))
    except asyncio.IncompleteReadError as error:
        assert error.partial == b""
        return False
    statuses.append("last" if b"\r\nX-Target: /last\r\n" in head else head[9:12].decode())
    if b"\r\nconnection: close\r\n" in head.lower():
        assert await reader.read() == b""
        return False
    return True


async def test_outcomes_and_what_the_upstream_sees(proxy: Address, upstream: Recorder) -> None:
    """Each case goes as its line says, and only what was answered by the upstream was seen there."""
    got = {}
    for at, case in enumerate(CASES):
        got[case.name] = tuple(await outcomes(proxy, at, case))
    assert got == {case.name: case.ours for case in CASES}
    assert upstream.unread == []
    for at, case in enumerate(CASES):
        seen = [
            one.head + one.body
            for one in upstream.messages
            if host_of(at) in one.head and one.target != b"/last"
        ]
        sent = HOP_BY_HOP.sub(b"", b"".join(step.lstrip(b"\r\n") for step in case.steps))
        sent = sent.replace(b"HTTP/1.0", b"HTTP/1.1")
        if case.name == "COMP-HTTP10-NO-HOST":
            host = upstream.url.removeprefix("http://").encode()
            whole = sent.replace(b"\r\n", b"\r\nHost: %b\r\n" % host, 1)
            assert whole in [one.head for one in upstream.messages]
        elif seen:
            assert b"".join(seen) == sent, case.name
            assert len(seen) == len(case.ours), case.name
        elif case.ours != ("waits",):
            assert case.ours[0] in {"400", "405", "417", "501"} or case.ours == ("431",), case.name
            assert host_of(at) not in upstream.raw, case.name


def test_score() -> None:
    """By Http11Probe's own measure nothing fails."""
    assert [case.name for case in CASES if case.verdict() == "fail"] == []
    assert Counter(case.verdict() for case in CASES) == {"pass": 179, "warn": 13}
