"""Whatever becomes of an account call, one line of the audit trail tells its outcome."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from callers import basic
from has_privileges import saying, security
from privileges import Role
from rawhttp import exchange
from served import LIMIT_S, configure, serve

ACCOUNT = "/_signals/account/email/default"
OTHER = "/_signals/account/slack/x"


def request(line: str, *fields: str, end: str = "Connection: close\r\n\r\n") -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *fields, end]).encode("latin-1")


async def test_each_call(tmp_path: Path, canary: Callable[[str], str]) -> None:
    """Refused, unread, undecided, left alone: in the order of the calls, with who is known of."""
    asked = asyncio.Event()

    async def silent(request: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()
        return await saying(500, b"")(request)

    async with security() as cluster:
        cluster.roles["user"] = Role()
        cluster.users["anna"] = (canary("anna"), ["user"])
        anna = "Authorization: " + basic("anna", cluster.users["anna"][0])
        wrong = "Authorization: " + basic("anna", canary("wrong"))
        file = configure(tmp_path, cluster.url, "audit: {file: audit.json}\n")
        text = file.read_text()
        backend = "{backend: elasticsearch, cache: 1ms}"
        file.write_text(text.replace("{backend: none}", backend))
        audit = tmp_path / "audit.json"
        async with serve(file) as proxy:
            served = await proxy.served()
            await proxy.event("ready")
            address = (served.host, served.port)
            lines: list[dict[str, Any]] = []

            async def told(count: int = 1) -> None:
                """Wait for the lines of so many calls more."""
                async with asyncio.timeout(LIMIT_S):
                    while len(found := audit.read_text().splitlines()) < len(lines) + count:
                        await asyncio.sleep(0.01)
                assert len(found) == len(lines) + count
                lines[:] = map(json.loads, found)

            async def leaves(begun: bytes, event: asyncio.Event | None = None) -> None:
                _, writer = await asyncio.open_connection(*address)
                writer.write(begun)
                if event is not None:
                    await event.wait()
                writer.transport.abort()

            fields = [f"x{number}: 1" for number in range(5000)]
            for call in (
                request(f"GET {OTHER}", anna),
                request(f"GET {ACCOUNT}", wrong),
                request(f"GET {ACCOUNT}"),
                request(f"GET {ACCOUNT}", anna, anna),
                request(f"PATCH {ACCOUNT}", anna),
                request(f"get {ACCOUNT}", anna),
                request(f"GET {ACCOUNT}", anna, *fields),
                request(f"GET {ACCOUNT}\xff", anna),
                request(f"GET /{ACCOUNT}", anna),
                request("DELETE /_search/scroll/signals-proxy-scroll-1.e30"),
            ):
                await exchange(address, call)
                await told()
            both = request(f"GET {OTHER}", anna, end="\r\n") + request(f"GET {ACCOUNT}")
            await exchange(address, both)
            await told(2)
            cluster.fault = saying(429, b"{}")
            await exchange(address, request(f"GET {ACCOUNT}", anna))
            await told()
            cluster.fault = silent
            await leaves(request(f"GET {ACCOUNT}", anna), asked)
            await told()
    assert [
        (line.get("http.response.status_code"), line.get("error.type"), line.get("user.name"))
        for line in lines
    ] == [
        (403, "Forbidden", "anna"),
        (401, "Unauthenticated", None),
        (401, "Unauthenticated", None),
        (400, "InvalidParameter", None),
        (405, "WrongMethod", None),
        (405, "BadHttpMethod", None),
        (400, "BadHttpMessage", None),
        (400, "InvalidURLError", None),
        (400, "InvalidTarget", None),
        (200, None, None),
        (403, "Forbidden", "anna"),
        (401, "Unauthenticated", None),
        (503, "Undecided", None),
        (None, "cancelled", None),
    ]
    assert {line["signals_proxy.phase"] for line in lines} == {"outcome"}
