"""A slow mail server, and many who send through an account that leads to it.

``python -m bench.senders CONTROL MAIL URL COUNT SIZE EXPECTED``: whoever connects to the port
CONTROL and says a byte has COUNT messages of SIZE bytes sent at a time, one after another, as four
callers. A byte is said back once EXPECTED of them have come to the mail server, on port MAIL. When
the connection's other side ends, the last ones are sent to their end, and then a byte is said again.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

_SLOW_S: Final = 1.0
"""How long each reply takes."""
_CALLERS: Final = 4
_REPLIES: Final = {b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}


class _Mail:
    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._talking = 0
        self.is_full = asyncio.Event()
        self.is_empty = asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talking += 1
        self.is_empty.clear()
        if self._talking >= self._expected:
            self.is_full.set()
        try:
            await _say(writer, b"220 mail.test\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                await _say(writer, _REPLIES.get(verb, b"250 ok\r\n"))
                if verb == b"DATA":
                    while await reader.readline() not in {b".\r\n", b""}:
                        pass
                    await _say(writer, b"250 queued\r\n")
        except ConnectionError:
            pass
        finally:
            self._talking -= 1
            if not self._talking:
                self.is_empty.set()
            writer.close()


async def _say(writer: asyncio.StreamWriter, reply: bytes) -> None:
    await asyncio.sleep(_SLOW_S)
    writer.write(reply)


def _controlled(
    mail: _Mail, url: str, count: int, size: int
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    message = {
        "to": "ops@mail.test",
        "subject": "bench",
        "text_body": ("x" * 72 + "\n") * (size // 73 + 1),
    }
    body = json.dumps(message).encode()

    async def send(session: aiohttp.ClientSession, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            async with session.post(url, data=body) as answer:
                if answer.status != 200:
                    raise SystemExit(f"{answer.status}: {await answer.text()}")

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await reader.read(1):  # somebody who looks whether anybody listens
            writer.close()
            return
        is_over = asyncio.Event()
        sessions = [
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, local_addr=(f"127.0.0.{caller + 1}", 0)),
                headers={"Content-Type": "application/json"},
            )
            for caller in range(_CALLERS)
        ]
        sending = [
            asyncio.create_task(send(sessions[number % _CALLERS], is_over))
            for number in range(count)
        ]
        await mail.is_full.wait()
        writer.write(b".")
        await reader.read()
        is_over.set()
        await asyncio.gather(*sending)
        for session in sessions:
            await session.close()
        await mail.is_empty.wait()  # the last good-byes: whoever comes next finds nobody here
        mail.is_full.clear()
        writer.write(b".")
        writer.close()

    return control


async def _serve(control: int, mail: int, url: str, count: int, size: int, expected: int) -> None:
    slow = _Mail(expected)
    await asyncio.start_server(slow.talk, "127.0.0.1", mail, backlog=1024)
    server = await asyncio.start_server(_controlled(slow, url, count, size), "127.0.0.1", control)
    await server.serve_forever()


if __name__ == "__main__":
    _control, _mail, _url, *_numbers = sys.argv[1:]
    asyncio.run(_serve(int(_control), int(_mail), _url, *map(int, _numbers)))
