"""The metrics and the access log of a running proxy: of all workers, over deaths and reloads."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from processes import wait_for_ends, watch
from prometheus_client.parser import text_string_to_metric_families
from served import LIMIT_S, Address, _get, configure, serve, upstream

Values = dict[tuple[str, ...], float]


async def metrics(at: Address) -> Values:
    """Return all samples, by name and the values of their labels."""
    status, body = await _get(at.health_port, "/metrics")
    assert status == 200
    return {
        (
            it.name.removeprefix("signals_proxy_"),
            *(it.labels[name] for name in sorted(it.labels)),
        ): it.value
        for family in text_string_to_metric_families(body.decode())
        for it in family.samples
    }


async def until(at: Address, happened: Callable[[Values], bool]) -> Values:
    """Wait for what workers tell when they come to it; no counter falls meanwhile."""
    before: Values = {}
    async with asyncio.timeout(LIMIT_S):
        while True:
            now = await metrics(at)
            fallen = [it for it, n in before.items() if "total" in it[0] and now.get(it, 0) < n]
            assert fallen == []
            if happened(now):
                return now
            before = now
            await asyncio.sleep(0.05)


GET_A = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
OK = ("requests_total", "cluster", "GET", "200")


async def test_sums_over_workers_deaths_and_reloads(tmp_path: Path) -> None:
    """What a worker counted stays, whether it was killed or has retired."""
    async with (
        upstream() as stands,
        serve(configure(tmp_path, stands.url, "workers: 2\n")) as proxy,
    ):
        at = await proxy.served()
        for _ in range(20):
            assert (await at.get("/a"))[0] == 200
        told = await until(at, lambda now: now.get(OK) == 20)
        assert told["client_connections_accepted_total",] == 20
        assert told["workers",] == 2
        assert sum(told["node_workers", stands.url, state] for state in ("living", "dead")) == 2
        assert told["request_duration_seconds_count", "cluster"] == 20
        assert told["request_bytes_total", "cluster"] == 20 * len(GET_A)
        dead = proxy.workers()[0]
        ends = watch([dead])
        os.kill(dead, signal.SIGKILL)
        await asyncio.to_thread(wait_for_ends, ends)
        told = await until(at, lambda now: now["workers_started_total",] == 3)
        assert told[OK] == 20
        old = watch(proxy.workers()[1:])
        reader, writer = await at.connect()
        await until(at, lambda now: now["client_connections",] == 1)
        serving = await proxy.reloaded()
        again = Address(serving["addresses"], f":{at.health_port}")
        writer.write(GET_A.encode())  # the last thing that an old worker does
        assert b" 200 OK\r\n" in await reader.read()
        writer.close()
        await asyncio.to_thread(wait_for_ends, old)
        for _ in range(5):
            await again.get("/a")
        told = await until(at, lambda now: now.get(OK) == 26 and now["workers",] == 2)
        assert told["reloads_total", "success"] == 1
        (tmp_path / "proxy.yaml").write_text("no")
        proxy.signal(signal.SIGHUP)
        await proxy.event("reload failed")
        await until(at, lambda now: now["reloads_total", "failure"] == 1)


async def test_ends_of_all_kinds(tmp_path: Path) -> None:
    """Requests that never got an answer, or one of ours, are counted as what they are."""
    async with upstream() as stands, serve(configure(tmp_path, stands.url)) as proxy:
        at = await proxy.served()
        reader, writer = await at.connect()
        writer.write(b"BREW /x HTTP/1.1\r\nHost: a\r\n\r\nnot http\r\n\r\n")
        await reader.read()
        await at.get("/_signals/account/email/a")
        stands.answer.clear()
        _, gone = await at.connect()
        gone.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await stands.slow_asked.wait()
        gone.transport.abort()
        writer.close()
        told = await until(at, lambda now: ("requests_total", "cluster", "GET", "none") in now)
        ours = {it[1:]: n for it, n in told.items() if it[0] == "requests_total"}
        assert ours == {
            ("cluster", "other", "200"): 1,
            ("none", "other", "400"): 1,
            ("accounts", "GET", "502"): 1,
            ("cluster", "GET", "none"): 1,
        }
        assert told["account_calls_total", "get", "allowed", "failure"] == 1
        assert told["responses_cut_total", "cluster"] == 0


async def test_no_secret(tmp_path: Path, canary: Callable[[str], str]) -> None:
    """Neither the metrics nor the access log have anything of credentials, wherever they are sent."""
    password = canary("password")
    basic = base64.b64encode(f"kim:{password}".encode()).decode()
    more = "workers: 2\naccess_log: {enabled: true, file: access.json}\n"
    async with upstream() as stands, serve(configure(tmp_path, stands.url, more)) as proxy:
        at = await proxy.served()
        for target in ("/x", "/_signals/account/email/a", "/_signals/%61ccount/email/a"):
            reader, writer = await at.connect()
            writer.write(
                f"GET {target}?password={password} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                f"Authorization: Basic {basic}\r\nes-secondary-authorization: {password}\r\n\r\n".encode()
            )
            await reader.read()
            writer.close()
        reader, writer = await at.connect()
        writer.write(f"{password} /{password}\r\n\r\n".encode())
        await reader.read()
        writer.close()
        await until(
            at, lambda now: sum(n for it, n in now.items() if it[0] == "requests_total") == 4
        )
        _, body = await _get(at.health_port, "/metrics")
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0
    written = (tmp_path / "access.json").read_text()
    for text in (body.decode(), written):
        assert password not in text
        assert basic not in text
    lines = [json.loads(line) for line in written.splitlines()]
    found = sorted((it["signals_proxy.destination"], it.get("url.path", "")) for it in lines)
    assert [place for place, _ in found] == ["accounts", "cluster", "none", "none"]
    assert {path for _, path in found} == {
        *("/_signals/account/email/a", "/_signals/%61ccount/email/a", "/x", ""),
    }
