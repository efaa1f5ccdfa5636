"""Bytes on a socket, for what no client sends."""

import asyncio

BODY = b'{"host": "smtp.example.com", "port": 465}'
"""A small account without secrets."""


def put(*fields: str, body: bytes = BODY) -> bytes:
    """Return the bytes of a PUT with further fields; its length is announced unless they do."""
    lines = [
        "PUT /_signals/account/email/default HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        *fields,
    ]
    if not any(field.startswith(("Content-Length", "Transfer-Encoding")) for field in fields):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(*fields: str) -> bytes:
    """Return the bytes of a GET with further fields, after which the connection ends."""
    lines = ["GET /_signals/account/email/default HTTP/1.1", "Host: localhost", *fields]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


async def exchange(address: tuple[str, int], request: bytes) -> tuple[bytes, bytes]:
    """Send the bytes, and return the first head and the rest until the other side ends."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head, rest
