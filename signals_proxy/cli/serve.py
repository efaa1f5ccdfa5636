"""``signals-proxy serve``: the proxy, as in production."""

import asyncio
import os
from pathlib import Path
from typing import Final

import click

from signals_proxy import config, server
from signals_proxy.account import schema
from signals_proxy.cli.options import config_option
from signals_proxy.cli.voice import tell, tell_hint
from signals_proxy.errors import SharedIdentity
from signals_proxy.registry import Registry, connect
from signals_proxy.relay import Upstream
from signals_proxy.relay.identity import check_identity
from signals_proxy.relay.probe import reach
from signals_proxy.supervisor import check_files, shortage, supervise
from signals_proxy.telemetry import log

__all__ = ["serve"]

_NO_SNIFFING: Final = (
    "switch sniffing off in clients: those that sniff learn the nodes' own addresses, and walk past"
    " the proxy"
)


@click.command
@config_option("The configuration; config.example.yaml documents every setting.")
@click.option(
    "--check", is_flag=True, help="Check it, reach the cluster and the registry's index, and end."
)
@click.pass_context
def serve(context: click.Context, file: Path, check: bool) -> None:
    """Serve clients until SIGTERM or Ctrl-C, then drain; a second Ctrl-C ends at once."""
    if check:
        asyncio.run(_check(file))
        return
    log.set_up()
    if not asyncio.run(supervise(file, os.environ)):
        context.exit(130)


async def _check(file: Path) -> None:
    settings = config.load(file, os.environ)
    with settings.locating():
        check_files(settings)
    if (lack := shortage(settings.limits.connections)) is not None:
        tell(f"warning: {lack[0]}")
        tell_hint(lack[1])
    tls = server.tls_for(settings.upstream, settings.registry.credentials)
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


async def _check_identity(upstream: Upstream, tls: server.Tls) -> None:
    try:
        await check_identity(upstream, tls.clients, tls.decisions)
    except SharedIdentity as error:
        raise server.shared_identity(error) from error
