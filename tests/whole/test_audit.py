"""The audit trail in its file: of all workers, over reloads, with a full disk."""

import asyncio
import json
import resource
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import wait_for_ends, watch
from served import LIMIT_S, Served, configure, serve, upstream

ACCOUNT = "/_signals/account/email/default"
BODY = '{"host": "smtp.example.com", "port": 465}'


async def ask(port: int, method: str, body: str = "", *fields: str) -> tuple[int, Any]:
    """Return status and body of one request, on a connection of its own."""
    head = [
        f"{method} {ACCOUNT} HTTP/1.1",
        *("Host: localhost", "Connection: close", "Content-Type: application/json"),
        *fields,
        f"Content-Length: {len(body)}",
    ]
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join([*head, "", body]).encode())
        answer, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    return int(answer.split()[1]), json.loads(content)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what no answer tells: nobody waits for the line of an outcome."""
    async with asyncio.timeout(LIMIT_S):
        while not happened():
            await asyncio.sleep(0.01)


def in_log(proxy: Served) -> list[dict[str, Any]]:
    return [json.loads(line) for line in proxy.lines if line.startswith("{")]


async def stopped(proxy: Served) -> None:
    proxy.signal(signal.SIGTERM)
    assert await proxy.ended() == 0


async def test_one_file_of_all_workers(tmp_path: Path) -> None:
    """Each call has its one line there and none in the log; a reload begins a new file."""
    file, moved = tmp_path / "audit.json", tmp_path / "moved.json"
    more = "workers: 2\naudit: {file: audit.json}\ntrusted_proxies: 127.0.0.1\n"
    async with upstream() as stands, serve(configure(tmp_path, stands.url, more)) as proxy:
        port = (await proxy.served()).port
        for n in range(20):
            await ask(
                *(port, "POST", ""), f"X-Opaque-Id: {n}", "X-Forwarded-For: 6.6.6.6, 192.0.2.7"
            )
        file.rename(moved)
        old = watch(proxy.workers())
        port = int((await proxy.reloaded())["addresses"].rpartition(":")[2])
        await asyncio.to_thread(wait_for_ends, old)
        for n in range(20, 40):
            await ask(port, "POST", "", f"X-Opaque-Id: {n}")
        await stopped(proxy)
        assert not any(line.startswith("{") for line in proxy.lines)
    assert file.stat().st_mode & 0o777 == 0o600
    before, after = lines_of(moved), lines_of(file)
    # In the order of the calls only those of one worker.
    told = [sorted(int(line["signals_proxy.x_opaque_id"]) for line in it) for it in (before, after)]
    assert told == [list(range(20)), list(range(20, 40))]
    assert {line["client.ip"] for line in before} == {"192.0.2.7"}
    assert {line["client.ip"] for line in after} == {"127.0.0.1"}


async def test_a_full_disk(tmp_path: Path, elasticsearch: str, index: str) -> None:
    """Where lines are required nothing is done that cannot be recorded; then it goes on."""
    file = tmp_path / "audit.json"
    more = f"audit: {{file: audit.json, required: true}}\nregistry: {{index: {index}}}\n"
    async with serve(configure(tmp_path, elasticsearch, more)) as proxy:
        port = (await proxy.served()).port
        await proxy.event("ready")
        assert (await ask(port, "GET"))[0] == 404
        await until(lambda: len(lines_of(file)) == 2)
        (worker,) = proxy.workers()
        limit = (file.stat().st_size + 10, resource.RLIM_INFINITY)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, limit)
        refused = "The call cannot be recorded in the audit trail, so nothing was done."
        for method in ("PUT", "DELETE", "GET"):
            body = BODY if method == "PUT" else ""
            assert await ask(port, method, body) == (503, {"status": 503, "error": refused})
        await until(lambda: len(in_log(proxy)) == 6)
        told = await proxy.event("audit lines go to the log")
        assert (told["file"], told["reason"]) == (str(file), "file too large")
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert (await ask(port, "GET"))[0] == 404
        await proxy.event("audit lines go to their file again")
        assert (await ask(port, "PUT", BODY))[0] == 201
        await stopped(proxy)
    cut = [line for line in file.read_text().splitlines() if not line.endswith("}")]
    assert cut == ['{"@timesta']
    in_file = [json.loads(line) for line in file.read_text().splitlines() if line not in cut]
    refusals = in_log(proxy)
    for lines, statuses in ((in_file, [404, 404, 201]), (refusals, [503, 503, 503])):
        phases = [line["signals_proxy.phase"] for line in lines]
        assert phases == ["intent", "outcome"] * 3
        assert [line["http.response.status_code"] for line in lines[1::2]] == statuses
        assert set(Counter(line["http.request.id"] for line in lines).values()) == {2}
    assert {line["error.type"] for line in refusals[1::2]} == {"NotRecorded"}


async def test_a_full_disk_where_lines_are_not_required(tmp_path: Path) -> None:
    """Calls are served, and their lines stand in the log."""
    more = "audit: {file: audit.json}\n"
    async with upstream() as stands, serve(configure(tmp_path, stands.url, more)) as proxy:
        port = (await proxy.served()).port
        resource.prlimit(proxy.workers()[0], resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        for _ in range(3):
            assert (await ask(port, "POST"))[0] == 405
        await stopped(proxy)
    assert [line["http.response.status_code"] for line in in_log(proxy)] == [405] * 3
    assert sum("audit lines go to the log" in line for line in proxy.lines) == 1
    assert (tmp_path / "audit.json").read_bytes() == b""


@pytest.mark.parametrize("name", ["none/audit.json", "."])
async def test_a_file_that_cannot_be(tmp_path: Path, name: str) -> None:
    """It is told with its setting and line: at the start, which fails, and at a reload, which does."""
    async with upstream() as stands:
        good = configure(tmp_path, stands.url).read_text()
        file = configure(tmp_path, stands.url, f"audit:\n  file: {name}\n")
        line = file.read_text().splitlines().index(f"  file: {name}") + 1
        reason = {".": "is a directory"}.get(name, "no such file or directory")
        expected = f"{file}:{line}: audit.file: {tmp_path / name}: cannot be opened: {reason}"
        async with serve(file) as proxy:
            assert await proxy.ended() != 0
            assert any(expected in told for told in proxy.lines)
        bad = file.read_text()
        file.write_text(good)
        async with serve(file) as proxy:
            port = (await proxy.served()).port
            file.write_text(bad)
            proxy.signal(signal.SIGHUP)
            await proxy.event("reload failed")
            assert (await ask(port, "POST"))[0] == 405
