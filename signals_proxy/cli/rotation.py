"""What ``keys status`` and ``accounts reseal`` share: the registry of a configuration, the keys
that running proxies have, and how accounts are named to people.

Rules of the file: an answer of a health listener is as foreign as any other, so its size and time
have a limit, and nothing of it is shown but ids of keys. The ids of accounts come from the index,
where anybody may have planted them: what could move a terminal's cursor is escaped.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout

from signals_proxy import config
from signals_proxy.account import schema
from signals_proxy.account.keyring import Keyring
from signals_proxy.cli.voice import shown
from signals_proxy.config import Settings
from signals_proxy.registry.client import connect
from signals_proxy.registry.documents import Registry
from signals_proxy.registry.survey import Sample, Survey
from signals_proxy.relay.probe import reach
from signals_proxy.server.material import keyring_of, tls_for

__all__ = ["Listener", "accounts", "ask", "named", "opened", "read"]

_LIMIT_S: Final = 5.0
_LARGEST: Final = 256 * 1024
_KEY_ID: Final = re.compile("[0-9a-f]{32}")
_SILENT: Final = "nothing answers there"
_STRANGE: Final = "what answers there is no health listener of this version"


@dataclass(frozen=True, slots=True)
class Listener:
    """What a health listener said: its proxy's keys, or in ``reason`` why that is not known."""

    url: str
    primary: str = ""
    keys: frozenset[str] = frozenset()
    reason: str = ""


async def ask(urls: Sequence[str], settings: Settings) -> list[Listener]:
    """Ask each of ``urls`` for the keys of its proxy; without any, the listener of the settings.

    The latter is left out if nothing answers there: proxies need not run on this machine.
    """
    ours = settings.health
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(ours.host, ours.host)  # noqa: S104
    default = f"http://[{host}]:{ours.port}" if ":" in host else f"http://{host}:{ours.port}"
    async with ClientSession(timeout=ClientTimeout(_LIMIT_S)) as session:
        asked = [_ask(session, url) for url in dict.fromkeys(urls) or [default]]
        found = await asyncio.gather(*asked)
    return [each for each in found if urls or each.reason != _SILENT]


async def _ask(session: ClientSession, url: str) -> Listener:
    try:
        async with session.get(f"{url}/keys", allow_redirects=False) as answer:
            if answer.status == 503:
                return Listener(url, reason="the proxy does not serve yet")
            body = b""
            while len(body) <= _LARGEST and (data := await answer.content.readany()):
                body += data
    except (ClientConnectionError, TimeoutError):
        return Listener(url, reason=_SILENT)
    except (ClientError, UnicodeError):  # the latter for a name that cannot be looked up
        return Listener(url, reason=_STRANGE)
    try:
        said = json.loads(body) if len(body) <= _LARGEST and answer.status == 200 else None
    except (ValueError, RecursionError):
        said = None
    match said:
        case {"primary": str(primary), "keys": [*keys]} if all(map(_is_key_id, [primary, *keys])):
            return Listener(url, primary, frozenset(keys))
    return Listener(url, reason=_STRANGE)


def _is_key_id(value: Any) -> bool:
    return isinstance(value, str) and _KEY_ID.fullmatch(value) is not None


def read(file: Path) -> tuple[Settings, Keyring]:
    """Return the settings in a file, and the keyring that they name.

    :raises ConfigError: as a start of the proxy does.
    """
    settings = config.load(file, os.environ)
    with settings.locating():
        return settings, keyring_of(settings)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Registry, Survey]]:
    """Yield the registry of the settings, checked, and what looks at all of it.

    Raises :class:`UpstreamError` if the cluster does not let us at the registry's index.
    """
    with settings.locating():
        tls = tls_for(settings.upstream, settings.registry.credentials)
    if tls is not None:
        await reach(settings.upstream, tls)  # which finds what ca_fingerprint stands for
    client = connect(settings.registry, settings.upstream.hosts, tls and tls.registry)
    registry = Registry(client, settings.registry.index, schema.load())
    try:
        await registry.check()
        yield registry, Survey(client, settings.registry.index)
    finally:
        await registry.close()


def accounts(count: int) -> str:
    """Return ``1 account``, ``2 accounts``."""
    return "1 account" if count == 1 else f"{count} accounts"


def named(sample: Sample) -> str:
    """Return the ids of a sample, with "…" if there are more."""
    some = [shown(each) for each in sample.examples]
    return ", ".join([*some, "…"] if sample.count > len(some) else some)
