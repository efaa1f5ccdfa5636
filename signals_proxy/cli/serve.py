"""``signals-proxy serve``: the proxy, as in production."""

import asyncio
import os
from pathlib import Path

import click

from signals_proxy.cli.options import config_option
from signals_proxy.supervisor import supervise
from signals_proxy.telemetry import log

__all__ = ["serve"]


@click.command
@config_option("The configuration; config.example.yaml documents every setting.")
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Check it, reach the cluster and the registry's index, and end.",
)
@click.pass_context
def serve(context: click.Context, file: Path, only_check: bool) -> None:
    """Serve clients until SIGTERM or Ctrl-C, then drain; a second Ctrl-C ends at once."""
    if only_check:
        # What it needs beside, the registry's client, takes longer to import than all else here.
        from signals_proxy.cli.check import check  # noqa: PLC0415

        asyncio.run(check(file))
        return
    log.set_up()
    if not asyncio.run(supervise(file, os.environ)):
        context.exit(130)
