"""``signals-proxy serve``: the proxy, as in production."""

import asyncio
import os
from pathlib import Path

import click

from signals_proxy import config, server
from signals_proxy.account import schema
from signals_proxy.cli.options import config_option
from signals_proxy.cli.voice import tell
from signals_proxy.errors import SharedIdentity
from signals_proxy.registry import Registry, connect
from signals_proxy.relay import Upstream
from signals_proxy.relay.identity import check_identity
from signals_proxy.relay.probe import reach
from signals_proxy.supervisor import check_files, supervise
from signals_proxy.telemetry import log

__all__ = ["serve"]


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


async def _check_identity(upstream: Upstream, tls: server.Tls) -> None:
    try:
        await check_identity(upstream, tls.clients, tls.decisions)
    except SharedIdentity as error:
        raise server.shared_identity(error) from error
