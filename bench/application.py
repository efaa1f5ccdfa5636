"""The account application by itself, on a port of its own: what the way through the relay adds to.

``python -m bench.application CONFIG PORT``: the configuration is one whose users are ``static``.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from signals_proxy import api, config
from signals_proxy.account import schema
from signals_proxy.authorization import Rights, StaticUsers
from signals_proxy.registry.client import connect
from signals_proxy.registry.documents import Registry
from signals_proxy.server.material import keyring_of
from signals_proxy.telemetry.audit import Audit


async def _serve(file: Path, port: int) -> None:
    settings = config.load(file, os.environ)
    types, users = schema.load(), settings.authorization
    client = connect(settings.registry, settings.upstream.hosts, None)
    app = api.build(
        registry=Registry(client, settings.registry.index, types),
        keyring=keyring_of(settings),
        types=types,
        authorizer=StaticUsers(users.users, Rights(users.roles, types), users.cache_s),
        audit=Audit(settings.audit),
    )
    runner = web.AppRunner(app, **api.RUNNER_OPTIONS)
    await runner.setup()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(api.protocols(runner), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
