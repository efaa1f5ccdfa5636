"""A message through a running proxy is sent once and to its end, and is told of afterwards."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from applications import Client
from elasticsearch import ApiError, AsyncElasticsearch
from mail_servers import CLOSE, MESSAGE, Mailbox, Played, playing, receiving
from processes import free_ports
from recorder import recording
from served import LIMIT_S, configure
from sites import LOOPBACK, Site, account, audited, running


@pytest.fixture
async def site(tmp_path: Path, elasticsearch: str, index: str) -> AsyncIterator[Site]:
    """A proxy that asks nobody for rights."""
    more = f"registry: {{index: {index}}}\naudit: {{file: audit.json}}\n{LOOPBACK}"
    async with running(configure(tmp_path, elasticsearch, more)) as site:
        yield site


# --- one message, never two ----------------------------------------------------------------------


@asynccontextmanager
async def official(url: str) -> AsyncIterator[Callable[..., Any]]:
    """Yield what sends with an official client that repeats whatever it may; statuses come back."""
    client = AsyncElasticsearch(url, max_retries=3, retry_on_status=(429, 502, 503, 504))

    async def send(path: str, message: Any) -> int:
        target = f"/_signals/account/{path}/_send"
        fields = {"accept": "application/json", "content-type": "application/json"}
        try:
            answer = await client.perform_request("POST", target, headers=fields, body=message)
        except ApiError as error:
            return error.status_code
        return answer.meta.status

    async with client:
        yield send


async def test_an_official_client_never_sends_twice(site: Site) -> None:
    """Where a server took the message and broke, it is told what it does not repeat."""
    status = [0]

    def broken(_: Any) -> bytes:
        return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status[0]

    async with official(site.url) as send:
        async with playing({".": CLOSE}) as (port, played):
            assert (await site.client.put(account(port), "email/breaks")).status == 201
            assert await send("email/breaks", MESSAGE) == 424
            assert len(played.messages) == 1
        async with recording(broken) as service:
            for name, attributes, message in (
                ("teams/breaks", {}, {"text": "x"}),
                ("webhook/breaks", {}, {"body": "x"}),
                ("slack/breaks", {}, {"text": "x"}),
                (
                    "jira/breaks",
                    {"user_name": "u", "auth_token": "t0ken"},
                    {"project": "OPS", "issue": {"type": "Bug", "summary": "s"}},
                ),
            ):
                put = await site.client.put({"url": service.url, **attributes}, name)
                assert put.status == 201, put.text
                for status[0] in (500, 502, 504):
                    service.messages.clear()
                    assert await send(name, message) == 424
                    assert len(service.messages) == 1


async def test_an_official_client_repeats_what_was_not_taken(site: Site) -> None:
    """Of a 502 nothing was handed over: the client tries again by itself, and the message arrives once."""
    late = [b"421 4.3.2 not now\r\n", b"421 4.3.2 not now\r\n", b"220 mail.test\r\n"]
    async with playing({"greeting": late}) as (port, played), official(site.url) as send:
        assert (await site.client.put(account(port), "email/late")).status == 201
        assert await send("email/late", MESSAGE) == 200
    assert (played.connections, len(played.messages)) == (3, 1)


# --- what is told afterwards ---------------------------------------------------------------------


async def test_health_is_told_by_every_proxy_and_after_restarts(
    tmp_path: Path, elasticsearch: str, index: str
) -> None:
    (closed,) = free_ports(1)
    files = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        if files:
            (folder / "keyring").touch(0o600)
            (folder / "keyring").write_text((files[0].parent / "keyring").read_text())
        more = f"registry: {{index: {index}}}\n{LOOPBACK}"
        files.append(configure(folder, elasticsearch, more))
    async with receiving(Mailbox()) as port, running(files[1]) as second:
        async with running(files[0]) as first:
            assert (await first.client.put(account(port), "email/ops")).status == 201
            assert (await first.send("email/ops")).status == 200
            assert (await first.client.ask("POST", "email/ops/_test")).status == 200
            good = await first.status("email/ops")
            assert (await first.client.put(account(closed), "email/ops")).status == 200
            failed = await first.send("email/ops")
            assert (failed.status, failed.json["reason"]) == (502, "not_connected")
            told = await first.status("email/ops")
            assert told["last_success"] == good["last_success"]
            assert told["last_check"] == good["last_check"]
            assert told["last_check"]["proved"] == "reachable"
            error = {"step": "connect", "reason": "not_connected"}
            assert {it: told["last_error"][it] for it in error} == error
            assert told["last_use"]["outcome"] == "failure"
            await until_counted(
                first,
                {
                    ("email", "send", "success"): 1,
                    ("email", "test", "success"): 1,
                    ("email", "send", "not_connected"): 1,
                },
            )
            await first.stop()
        assert await second.status("email/ops") == told
        async with running(files[0]) as first:
            assert await first.status("email/ops") == told


async def until_counted(site: Site, wanted: Mapping[tuple[str, ...], float]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await site.deliveries() != wanted:
            await asyncio.sleep(0.05)


# --- what ends meanwhile -------------------------------------------------------------------------


class Held:
    """A mail server's answer to a message that it has, held back until ``release`` is set."""

    def __init__(self) -> None:
        self.has_message = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.has_message.set()
        await self.release.wait()
        writer.write(b"250 2.0.0 queued as 4711\r\n")
        await writer.drain()


@asynccontextmanager
async def holding(site: Site, **attributes: Any) -> AsyncIterator[tuple[Held, Played]]:
    """Play a server that holds its answer, which the account ``email/held`` leads to."""
    held = Held()
    async with playing({".": held}) as (port, played):
        assert (await site.client.put(account(port, **attributes), "email/held")).status == 201
        yield held, played


async def test_a_reload_in_the_middle(site: Site) -> None:
    """The worker that retires ends what it has begun; its successor serves meanwhile."""
    async with holding(site) as (held, played):
        sending = asyncio.create_task(site.send("email/held"))
        await held.has_message.wait()
        serving = await site.proxy.reloaded()
        async with ClientSession() as session:
            successor = Client(session, f"http://{serving['addresses']}")
            assert (await successor.get("email/held")).status == 200
        assert not sending.done()
        held.release.set()
        answer = await sending
    assert (answer.status, answer.json["delivered"]) == (200, True)
    assert len(played.messages) == 1


async def test_a_stop_in_the_middle(site: Site) -> None:
    """The proxy takes no more connections, and ends once the message has its answer."""
    async with holding(site) as (held, played):
        sending = asyncio.create_task(site.send("email/held"))
        await held.has_message.wait()
        idle, writer = await asyncio.open_connection(*site.client.address)
        site.proxy.signal(signal.SIGTERM)
        assert await idle.read() == b""  # by now nothing is served but what was begun
        writer.close()
        held.release.set()
        answer = await sending
        assert await site.proxy.ended() == 0
    assert (answer.status, answer.json["delivered"]) == (200, True)
    assert len(played.messages) == 1


async def test_a_stop_after_the_client_has_left(site: Site, tmp_path: Path) -> None:
    """What was begun goes on to its own deadline, and is recorded as what it became."""
    async with holding(site, session_timeout=3) as (held, played):
        sending = asyncio.create_task(site.send("email/held"))
        await held.has_message.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await site.stop()
    assert len(played.messages) == 1
    (line,) = (it for it in audited(tmp_path) if it["event.action"].endswith("send"))
    assert (line["event.outcome"], line["error.type"]) == ("failure", "outcome_unknown")
