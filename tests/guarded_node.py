"""A node, played by a process of its own: ``python guarded_node.py PORT FILE``.

It executes ``PUT /i/_create/<id>`` by a line in FILE, which outlives it, and acknowledges only a
while later: a node that dies in between has done what nobody was told of.
"""

import asyncio
import os
import sys

WHILE_S = 0.02
SEEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"


async def main(port: int, file: str) -> None:
    executed = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
                if target.startswith(b"/i/_create/"):
                    os.write(executed, target.rpartition(b"/")[2] + b"\n")
                    await asyncio.sleep(WHILE_S)
                    writer.write(CREATED)
                else:
                    writer.write(SEEN)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    print("listens", flush=True)  # noqa: T201 - what its parent waits for
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
