"""A cluster that does not say who may do what, and very many who ask."""

import asyncio
import json
from pathlib import Path
from typing import Any

from callers import basic
from has_privileges import PATH, saying, security
from rawhttp import exchange
from served import LIMIT_S, configure, serve

ACCOUNT = "/_signals/account/email/default"


async def test_questions_are_bounded(tmp_path: Path) -> None:
    """A node is asked so much at a time and no more; others get a 503, and the data plane goes on."""
    asked, go = 0, asyncio.Event()

    async def silent(request: Any) -> Any:
        nonlocal asked
        if request.path != PATH:
            return await saying(200, b"{}")(request)
        asked += 1
        await go.wait()
        return await saying(429, b"{}")(request)

    async with security() as cluster:
        cluster.fault = silent
        file = configure(tmp_path, cluster.url)
        text = file.read_text()
        file.write_text(text.replace("{backend: none}", "{backend: elasticsearch}"))
        async with serve(file) as proxy:
            served = await proxy.served()
            await proxy.event("ready")

            async def ask(path: str, number: int) -> tuple[bytes, bytes]:
                return await exchange(
                    (served.host, served.port),
                    f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                    f"Authorization: {basic(f'user{number}', 'x')}\r\n\r\n".encode(),
                )

            calls = [asyncio.create_task(ask(ACCOUNT, number)) for number in range(600)]
            async with asyncio.timeout(LIMIT_S):
                done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            head, body = done.pop().result()
            assert (head.split()[1], "busy" in json.loads(body)["error"]) == (b"503", True)
            assert (await ask("/", 0))[0].split()[1] == b"200"
            assert asked <= 256
            go.set()
            assert {head.split()[1] for head, _ in await asyncio.gather(*calls)} == {b"503"}
