"""The processes of a running proxy: how they start, how they end, what survives which death."""

import asyncio
import base64
import json
import os
import signal
import socket
from pathlib import Path

import pytest
from served import LIMIT_S, configure, serve, upstream

NOWHERE = "http://127.0.0.1:1"


class TestProxy:
    async def test_serves_and_drains(self, tmp_path: Path) -> None:
        """SIGTERM: /ready says so, nobody new is let in, what is under way ends, then all ends."""
        async with (
            upstream() as stands,
            serve(configure(tmp_path, stands.url)) as proxy,
        ):
            at = await proxy.served()
            await proxy.event("ready")
            assert await at.health("/ready") == (200, {"ready": True})
            assert await at.health("/live") == (200, {"live": True})
            assert await at.health("/") == (404, None)
            stands.answer.clear()
            under_way = asyncio.create_task(at.get("/_search"))
            await stands.asked.wait()
            proxy.signal(signal.SIGTERM)
            await proxy.event("draining")
            assert await at.health("/ready") == (503, {"ready": False, "reason": "draining"})
            assert await at.health("/live") == (200, {"live": True})
            await _until_refused(at.port)
            stands.answer.set()
            assert await under_way == (200, b"ok")
            assert await proxy.ended() == 0

    async def test_draining_is_bounded(self, tmp_path: Path) -> None:
        """A request that does not end is cut when the drain time is over."""
        async with (
            upstream() as stands,
            serve(configure(tmp_path, stands.url, "limits: {drain: 1ms}")) as proxy,
        ):
            at = await proxy.served()
            stands.answer.clear()
            reader, writer = await at.connect()
            writer.write(b"GET /_search HTTP/1.1\r\nHost: a\r\n\r\n")
            await stands.asked.wait()
            proxy.signal(signal.SIGTERM)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
            assert await proxy.ended() == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_stop_at_the_start(self, tmp_path: Path, number: signal.Signals) -> None:
        """A stop while the keyring's command runs ends that, too."""
        file = configure(tmp_path, NOWHERE)
        file.write_text(file.read_text().replace("file: keyring", "command: [cat, never]"))
        never = tmp_path / "never"
        os.mkfifo(never)
        async with serve(file) as proxy:
            with await asyncio.to_thread(never.open, "wb"):  # as soon as the command reads it
                proxy.signal(number)
                # Its standard error is the command's, too.
                assert await proxy.ended() == 0

    async def test_second_interrupt(self, tmp_path: Path) -> None:
        """The first Ctrl-C drains; the second ends everything at once."""
        async with (
            upstream() as stands,
            serve(configure(tmp_path, stands.url)) as proxy,
        ):
            at = await proxy.served()
            stands.answer.clear()
            _, writer = await at.connect()
            writer.write(b"GET /_search HTTP/1.1\r\nHost: a\r\n\r\n")
            await stands.asked.wait()
            proxy.signal(signal.SIGINT)
            await proxy.event("draining")
            proxy.signal(signal.SIGINT)
            assert await proxy.ended() == 130
            writer.close()

    async def test_worker_is_replaced(self, tmp_path: Path) -> None:
        """A worker that is killed is replaced on the same socket; who connects meanwhile waits."""
        async with (
            upstream() as stands,
            serve(configure(tmp_path, stands.url)) as proxy,
        ):
            at = await proxy.served()
            await proxy.event("ready")
            (dead,) = proxy.workers()
            os.kill(dead, signal.SIGKILL)
            # Nobody accepts this connection until the successor does.
            assert await at.get("/_search") == (200, b"ok")
            assert len(set(proxy.workers())) == 2
            await proxy.event("worker died", pid=str(dead), exit="-9")
            await proxy.event("ready")
            assert await at.health("/ready") == (200, {"ready": True})

    async def test_one_of_two_workers(self, tmp_path: Path) -> None:
        """Two workers share the connections; both drain at the end."""
        async with (
            upstream() as stands,
            serve(configure(tmp_path, stands.url, "workers: 2")) as proxy,
        ):
            at = await proxy.served()
            assert [await at.get("/_search") for _ in range(20)] == [(200, b"ok")] * 20
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0

    async def test_supervisor_is_killed(self, tmp_path: Path) -> None:
        """A worker whose supervisor is killed sees it, drains and ends."""
        async with (
            upstream() as stands,
            serve(configure(tmp_path, stands.url)) as proxy,
        ):
            at = await proxy.served()
            stands.answer.clear()
            under_way = asyncio.create_task(at.get("/_search"))
            await stands.asked.wait()
            proxy.signal(signal.SIGKILL)
            await _until_refused(at.port)
            stands.answer.set()
            assert await under_way == (200, b"ok")
            # Returns when the worker has ended too: the two share their standard error.
            assert await proxy.ended() == -signal.SIGKILL

    async def test_node_comes_later(self, tmp_path: Path) -> None:
        """It serves while no node answers, says why it is not ready, and is as soon as one does."""
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{place.getsockname()[1]}"
            async with serve(configure(tmp_path, url)) as proxy:
                at = await proxy.served()
                reason = f"no node answers: no connection to {url}: connection refused"
                await proxy.event("not ready", reason=reason)
                assert (503, {"ready": False, "reason": reason}) == await at.health("/ready")
                assert (await at.get("/_search"))[0] == 503
                async with upstream(sock=place) as stands:
                    await proxy.event("ready")
                    assert await at.get("/_search") == (200, b"ok")
                    assert stands.url == url

    async def test_stop_before_it_serves(self, tmp_path: Path) -> None:
        """A signal that comes while the workers start ends them and the start."""
        async with serve(configure(tmp_path, NOWHERE)) as proxy:
            await proxy.event("worker started")
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0

    async def test_account_calls_know_their_client(self, tmp_path: Path) -> None:
        """An account call goes to the application, whose audit line names the client's address."""
        async with (
            upstream() as stands,
            serve(configure(tmp_path, stands.url)) as proxy,
        ):
            at = await proxy.served()
            await at.get("/_signals/account/email/default")
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0
            (line,) = (line for line in proxy.lines if line.startswith('{"@timestamp"'))
            told = json.loads(line)
            assert told["client.address"] == "127.0.0.1"
            assert told["signals_proxy.account"] == "email/default"

    async def test_credentials_are_nowhere_to_be_seen(self, tmp_path: Path) -> None:
        """The proxy's own credentials reach the cluster, and neither a log nor a command line."""
        file = configure(tmp_path, NOWHERE)
        password = f"pw-{os.urandom(8).hex()}"
        credentials = f"registry: {{credentials: {{username: u, password: {password}}}}}\n"
        async with upstream() as stands:
            file.write_text(file.read_text().replace(NOWHERE, stands.url) + credentials)
            async with serve(file) as proxy:
                at = await proxy.served()
                await at.get("/_signals/account/email/default")
                (worker,) = proxy.workers()
                seen = _command_line_and_environment(worker)
                proxy.signal(signal.SIGTERM)
                assert await proxy.ended() == 0
            expected = base64.b64encode(f"u:{password}".encode())
            assert any(expected in head for head in stands.heads), proxy.lines
            for hidden in (password, expected.decode()):
                assert hidden not in seen + "\n".join(proxy.lines)


def _command_line_and_environment(pid: int) -> str:
    return "".join(Path(f"/proc/{pid}/{what}").read_text() for what in ("cmdline", "environ"))


async def _until_refused(port: int) -> None:
    """Wait until nobody listens any more: for a state that comes for certain, and that no log tells."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                continue  # it waited to be accepted when the listener closed
            writer.transport.abort()
