"""From a configuration file to a running proxy, to another one without a gap, and to its end.

Order of a start: settings, the files that they name, the addresses, the workers. What fails is told
before anything is served. A reload (SIGHUP) is the same start beside the proxy that runs: only when
all new workers are able to serve, they do, and the old ones retire; until then nothing has changed.
Order of an end: ``/ready`` is 503, the sockets close, the workers drain.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from signals_proxy import __version__, config, listeners
from signals_proxy.account.keyring import Keyring
from signals_proxy.config import Address, InvalidSettings, Settings, Sources
from signals_proxy.errors import ConfigError
from signals_proxy.server.material import keyring_of, listener_tls, tls_for, types_of
from signals_proxy.supervisor import descriptors
from signals_proxy.supervisor.generation import Generation
from signals_proxy.telemetry import health, metrics
from signals_proxy.telemetry.counters import Figures
from signals_proxy.telemetry.health import Health
from signals_proxy.telemetry.log import Log, way_of
from signals_proxy.telemetry.status import Failed

__all__ = ["check_files", "supervise", "worker_command"]

_AFTER_DRAIN_S: Final = 2.0
"""What a worker gets beyond its drain time, to close what is left and to end."""

_INFORMED_S: Final = 10.0
"""How long a reload waits for what the cluster says, or that it says nothing."""

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
    return await _Supervisor(file, environ, command).run()


def check_files(settings: Settings) -> Keyring:
    """Look at what the files and types that the settings name are, and return the keyring.

    :raises ConfigError: if one of them does not serve its purpose.
    """
    tls_for(settings.upstream, settings.registry.credentials)
    listener_tls(settings)
    types_of(settings)
    return keyring_of(settings)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A configuration that was read and checked. Only the record of its sources has its secrets."""

    settings: Settings
    record: bytes = field(repr=False)
    keys: tuple[str, ...]

    @property
    def limit_s(self) -> float:
        return self.settings.limits.drain_s + _AFTER_DRAIN_S


def _load(file: Path, environ: Mapping[str, str], sources: Sources) -> _Loaded:
    settings = config.load(file, environ, sources)
    with settings.locating():
        keys = tuple(key.id for key in check_files(settings).keys)
    return _Loaded(settings, sources.record(), keys)


def _named(sockets: listeners.Sockets) -> str:
    return ",".join(str(listeners.bound(same[0])) for same in sockets.values())


class _Supervisor:
    def __init__(
        self, file: Path, environ: Mapping[str, str], command: Sequence[str] | None
    ) -> None:
        self._file = file.absolute()
        self._environ = environ
        self._command = command or worker_command(self._file)
        # All that have not ended: those that retire, the one that serves, and one that starts.
        self._generations: dict[Generation, _Loaded] = {}
        self._serving: Generation | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._sockets: listeners.Sockets = {}
        self._accounts: listeners.Sockets = {}
        self._ledger = metrics.ledger()
        self._runner = web.AppRunner(
            health.application(self._health, self._metrics), **health.RUNNER_OPTIONS
        )
        self._health_at: tuple[Address, asyncio.Server] | None = None
        self._stop = asyncio.Event()
        self._news = asyncio.Event()
        self._interrupts = 0
        self._told = _STARTING
        self._number = self._failed = 0
        # SIGHUPs that came, and of those, how many came before the last reload that has ended.
        self._asked = self._done = 0
        self._errors: Sequence[ConfigError] = ()

    async def run(self) -> bool:
        descriptors.raise_limit()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        try:
            await self._runner.setup()
            await self._load_and_switch()
            while not self._stop.is_set():
                if self._done < self._asked:
                    await self._reload()
                else:
                    await self._news.wait()
                    self._news.clear()
            limits = [of.settings.limits.drain_s for of in self._generations.values()]
            _log.info("draining", limit_s=max(limits, default=0.0))
            # /ready says so since the signal; only now the sockets close, here and in the workers.
            listeners.close(self._sockets)
            listeners.close(self._accounts)
            await asyncio.gather(*(it.stop(of.limit_s) for it, of in self._generations.items()))
            await asyncio.gather(*self._retiring)
        finally:
            listeners.close(self._sockets)
            listeners.close(self._accounts)
            if self._health_at is not None:
                self._health_at[1].close()
            await self._runner.cleanup()
        _log.info("stopped")
        return self._interrupts < 2

    async def _reload(self) -> None:
        """Serve by what the file says now; if that cannot be, go on as before and tell why."""
        asked = self._asked
        _log.info("reloading")
        try:
            await self._load_and_switch()
            self._errors = ()
        except ConfigError as error:
            self._errors = error.errors if isinstance(error, InvalidSettings) else (error,)
        except Exception as error:  # noqa: BLE001  whatever it is, the proxy that serves goes on
            _log.error("unexpected error", way=way_of(error))
            self._errors = (
                ConfigError(f"an unexpected {type(error).__name__}; its log says more"),
            )
        self._failed += bool(self._errors)
        for each in self._errors:
            _log.error("reload failed", reason=each, hint=each.remedy)
        self._done = asked

    async def _load_and_switch(self) -> None:
        sources = Sources()
        # A thread: clients of the health listener, and signals, do not wait for a command.
        task = asyncio.create_task(asyncio.to_thread(_load, self._file, self._environ, sources))
        if await self._is_stopped_before(task):
            sources.abort()
            await asyncio.gather(task, return_exceptions=True)  # it fails because of us
        else:
            await self._switch(await task)

    async def _switch(self, new: _Loaded) -> None:
        """Have workers with ``new`` serve, in place of those that do.

        :raises ConfigError: if they cannot. Then, as if a stop comes first, nothing has changed.
        """
        settings = new.settings
        if (lack := descriptors.shortage(settings.limits.connections)) is not None:
            _log.warning("too few descriptors", reason=lack[0], hint=lack[1])
        with settings.locating():
            async with contextlib.AsyncExitStack() as undo:
                sockets = listeners.bind(settings.listen, settings.workers, self._sockets)
                undo.callback(listeners.close, sockets, self._sockets)
                accounts = listeners.bind(
                    settings.accounts, settings.workers, self._accounts, "accounts.listen"
                )
                undo.callback(listeners.close, accounts, self._accounts)
                health_at = await self._health_listener(settings.health, undo)
                generation = Generation(
                    self._command,
                    listeners.spread(sockets, settings.workers),
                    listeners.spread(accounts, settings.workers),
                    new.record,
                    self._ledger,
                    self._tell,
                )
                self._generations[generation] = new
                undo.push_async_callback(self._end, generation, generation.stop, 0)
                start = asyncio.create_task(self._start(generation))
                if await self._is_stopped_before(start):
                    await generation.stop(0)
                await start
                if self._stop.is_set():
                    return
                undo.pop_all()
        old, self._serving = self._serving, generation
        generation.serve()
        self._number += 1
        _log.info(
            "serving",
            addresses=_named(sockets),
            **({"accounts": _named(accounts)} if accounts else {}),
            workers=settings.workers,
            generation=self._number,
        )
        self._tell()
        if old is not None:
            task = asyncio.create_task(self._end(old, old.retire))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        listeners.close(self._sockets, sockets)
        listeners.close(self._accounts, accounts)
        self._sockets, self._accounts = sockets, accounts
        if self._health_at and self._health_at != health_at:
            self._health_at[1].close()
        self._health_at = health_at

    async def _start(self, generation: Generation) -> None:
        await generation.start()
        if self._serving is not None:  # so that /ready does not have to say "starting" once more
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INFORMED_S):
                    await generation.informed()

    async def _health_listener(
        self, address: Address, undo: contextlib.AsyncExitStack
    ) -> tuple[Address, asyncio.Server]:
        if self._health_at and self._health_at[0] == address:
            return self._health_at
        own = listeners.bind_alone(address, "health.listen")
        assert self._runner.server is not None  # noqa: S101
        server = await health.answer(own, self._runner.server)
        undo.callback(server.close)
        _log.info("health listener", address=listeners.bound(own))
        return address, server

    async def _end(
        self,
        generation: Generation,
        end: Callable[[float], Awaitable[None]],
        limit_s: float | None = None,
    ) -> None:
        await end(self._generations[generation].limit_s if limit_s is None else limit_s)
        del self._generations[generation]

    async def _is_stopped_before(self, work: asyncio.Task[Any]) -> bool:
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        return not work.done()

    def _hung_up(self) -> None:
        self._asked += 1
        self._news.set()

    def _signalled(self, number: int) -> None:
        self._stop.set()
        self._news.set()
        self._tell()
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            for generation in self._generations:
                generation.kill()

    def _health(self) -> Health:
        generation = self._serving or next(iter(self._generations), None)
        workers = generation.workers if generation is not None else []
        states = [worker.cluster for worker in workers if worker.serves and worker.cluster]
        if self._stop.is_set():
            reason = "draining"
        elif any(state.answers for state in states):
            reason = ""
        elif states:
            reason = states[0].reason
        elif any(worker.lives for worker in workers):
            reason = _STARTING
        else:
            reason = "no worker lives"
        own = self._generations[generation].keys if generation is not None else ()
        others = [of.keys for it, of in self._generations.items() if it.lives]
        return Health(
            live=any(worker.lives for worker in workers),
            reason=reason,
            primary=own[0] if any(worker.serves for worker in workers) else "",
            keys=[key for key in own if all(key in each for each in others)],
            generation={
                "pid": os.getpid(),
                "number": self._number,
                "workers": len(workers),
                "reload": {
                    "asked": self._asked,
                    "done": self._done,
                    "errors": [asdict(Failed.of(error)) for error in self._errors],
                },
            },
        )

    def _metrics(self) -> bytes:
        figures = self._ledger.total()
        succeeded = max(0, self._number - 1)  # the first was the start
        own: Figures = {
            "workers": {(): len(self._ledger)},
            "workers_started_total": {(): self._ledger.started},
            "reloads_total": {("success",): succeeded, ("failure",): self._failed},
            "build_info": {(__version__,): 1},
        }
        return metrics.rendered(figures | own)

    def _tell(self) -> None:
        """Log when it changes whether, or why not, requests are welcome."""
        reason = self._health().reason
        if reason != self._told:
            self._told = reason
            if reason:
                _log.warning("not ready", reason=reason)
            else:
                _log.info("ready")
