"""``signals-proxy worker``: one worker, started by the supervisor and by nobody else."""

import os
import socket
import sys
from pathlib import Path

import click
import uvloop

from signals_proxy import config
from signals_proxy.config import Sources
from signals_proxy.errors import ConfigError
from signals_proxy.server.worker import serve
from signals_proxy.telemetry import log
from signals_proxy.telemetry.status import Failed, StatusPipe

__all__ = ["worker"]


@click.command(hidden=True)
@click.option("--config", "file", type=click.Path(path_type=Path), required=True)
@click.option("--sockets", required=True, help="Descriptors of the listening sockets.")
@click.option("--accounts", default="", help="Descriptors of those for the account API alone.")
@click.option("--status", type=int, required=True, help="Descriptor of the status pipe.")
@click.option("--orders", type=int, required=True, help="Descriptor of the pipe with orders.")
@click.option("--counters", type=int, required=True, help="Descriptor of memory for its counts.")
@click.pass_context
def worker(
    context: click.Context,
    file: Path,
    sockets: str,
    accounts: str,
    status: int,
    orders: int,
    counters: int,
) -> None:
    """Serve inherited sockets until told to stop, or until the supervisor is gone.

    What the configuration consists of is read from standard input.
    """
    log.set_up()
    pipe = StatusPipe(status)
    try:
        settings = config.load(file, os.environ, Sources(sys.stdin.buffer.read()))
        everything, alone = (
            [socket.socket(fileno=int(each)) for each in share.split(",") if each]
            for share in (sockets, accounts)
        )
        with settings.locating():
            uvloop.run(serve(settings, everything, alone, pipe, orders, counters))
    except ConfigError as error:
        # The supervisor says it, once for all workers.
        pipe.tell(Failed.of(error))
        context.exit(2)
