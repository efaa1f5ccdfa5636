"""From a configuration file to a running proxy, and to its end.

Order of a start: settings, the files that they name, the addresses, the workers. What fails is told
before anything is served. Order of an end: ``/ready`` is 503, the sockets close, the workers drain.
"""

import asyncio
import itertools
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from signals_proxy import config, listeners
from signals_proxy.account import keyring
from signals_proxy.config import Settings
from signals_proxy.relay.tls import client_context
from signals_proxy.supervisor.generation import Generation
from signals_proxy.telemetry import health
from signals_proxy.telemetry.health import Health
from signals_proxy.telemetry.log import Log

__all__ = ["check_files", "supervise", "worker_command"]

_AFTER_DRAIN_S: Final = 2.0
"""What a worker gets beyond its drain time, to close what is left and to end."""

_STARTING: Final = "starting"

_log = Log("supervisor")


def worker_command(file: Path) -> tuple[str, ...]:
    """Return the command line of a worker. `-P`: no module is taken from the current folder."""
    return (sys.executable, "-P", "-m", "signals_proxy", "worker", f"--config={file}")


async def supervise(
    file: Path, environ: Mapping[str, str], command: Sequence[str] | None = None
) -> bool:
    """Run the proxy that ``file`` describes until SIGTERM or SIGINT, then drain it.

    Returns whether it drained: False after a second SIGINT, which ends everything at once.
    ``command`` starts a worker; by default it is :func:`worker_command`.

    :raises ConfigError: if it cannot start. Nothing is left running then.
    """
    settings = config.load(file, environ)
    with settings.locating():
        check_files(settings)
        return await _Supervisor(settings, command or worker_command(settings.file)).run()


def check_files(settings: Settings) -> None:
    """Read the files that the settings name, and keep nothing of them.

    :raises ConfigError: if one of them does not serve its purpose.
    """
    keyring.load(settings.keyring)
    upstream = settings.upstream
    client_context(upstream.ca_certificates, upstream.ca_fingerprint)


class _Supervisor:
    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self._settings = settings
        self._command = command
        self._generation: Generation | None = None
        self._stop = asyncio.Event()
        self._interrupts = 0
        self._told = _STARTING

    async def run(self) -> bool:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled, number)
        sockets = listeners.bind(self._settings.listen, self._settings.workers)
        runner = web.AppRunner(health.application(self._health), access_log=None)
        try:
            await runner.setup()
            own = listeners.bind_alone(self._settings.health, "health.listen")
            await web.SockSite(runner, own, backlog=listeners.BACKLOG).start()
            _log.info("health listener", address=listeners.bound(own))
            await self._serve(sockets)
        finally:
            _close(sockets)
            await runner.cleanup()
        _log.info("stopped")
        return self._interrupts < 2

    async def _serve(self, sockets: Sequence[Sequence[socket.socket]]) -> None:
        drain_s = self._settings.limits.drain_s
        self._generation = generation = Generation(self._command, sockets, self._tell)
        stop = asyncio.create_task(self._stop.wait())
        start = asyncio.create_task(generation.start())
        await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            try:
                await start
            except BaseException:
                stop.cancel()
                raise
            addresses = ",".join(str(listeners.bound(each)) for each in sockets[0])
            _log.info("serving", addresses=addresses, workers=len(sockets))
            await stop
        _log.info("draining", limit_s=drain_s)
        # /ready says so since the signal; only now the sockets close, here and in the workers.
        _close(sockets)
        await generation.stop(drain_s + _AFTER_DRAIN_S)
        await start

    def _signalled(self, number: int) -> None:
        self._stop.set()
        self._tell()
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1 and self._generation is not None:
            self._generation.kill()

    def _health(self) -> Health:
        workers = self._generation.workers if self._generation is not None else []
        states = [worker.cluster for worker in workers if worker.serves and worker.cluster]
        if self._stop.is_set():
            reason = "draining"
        elif any(state.answers for state in states):
            reason = ""
        elif states:
            reason = f"no node answers: {states[0].reason}"
        elif any(worker.lives for worker in workers):
            reason = _STARTING
        else:
            reason = "no worker lives"
        return Health(any(worker.lives for worker in workers), reason)

    def _tell(self) -> None:
        """Log when it changes whether, or why not, requests are welcome."""
        reason = self._health().reason
        if reason != self._told:
            self._told = reason
            if reason:
                _log.warning("not ready", reason=reason)
            else:
                _log.info("ready")


def _close(sockets: Sequence[Sequence[socket.socket]]) -> None:
    for each in itertools.chain.from_iterable(sockets):
        each.close()
