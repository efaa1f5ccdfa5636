"""``signals-proxy serve --check``: whether a configuration would serve, found out without serving."""

import os
from pathlib import Path
from typing import Final

from signals_proxy import config
from signals_proxy.account import schema
from signals_proxy.cli.voice import tell, tell_hint
from signals_proxy.errors import SharedIdentity
from signals_proxy.registry.client import connect
from signals_proxy.registry.documents import Registry
from signals_proxy.relay import Upstream
from signals_proxy.relay.identity import check_identity
from signals_proxy.relay.probe import reach
from signals_proxy.server.material import Tls, tls_for
from signals_proxy.server.watch import shared_identity
from signals_proxy.supervisor import check_files, shortage

__all__ = ["check"]

_NO_SNIFFING: Final = (
    "switch sniffing off in clients: those that sniff learn the nodes' own addresses, and walk past"
    " the proxy"
)


async def check(file: Path) -> None:
    """Check the configuration, reach the cluster and the index. Raises whatever is wrong."""
    settings = config.load(file, os.environ)
    with settings.locating():
        check_files(settings)
    if (lack := shortage(settings.limits.connections)) is not None:
        tell(f"warning: {lack[0]}")
        tell_hint(lack[1])
    tls = tls_for(settings.upstream, settings.registry.credentials)
    reached = await reach(settings.upstream, tls or ())
    if tls is not None and settings.upstream.shown and not settings.upstream.shared_identity:
        with settings.locating():
            await _check_identity(settings.upstream, tls)
    client = connect(settings.registry, settings.upstream.hosts, tls and tls.registry)
    registry = Registry(client, settings.registry.index, schema.load())
    try:
        await registry.check()
    finally:
        await registry.close()
    tell(f"the configuration is right, and {reached.url} answers (status {reached.status})")
    # Nothing here can tell whether any of them does: what nodes answer to it passes as it is.
    tell_hint(_NO_SNIFFING)


async def _check_identity(upstream: Upstream, tls: Tls) -> None:
    try:
        await check_identity(upstream, tls.clients, tls.decisions)
    except SharedIdentity as error:
        raise shared_identity(error) from error
