"""``signals-proxy accounts reseal``: the step of a rotation that moves the accounts to the new key."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import click

from signals_proxy.account.keyring import Keyring
from signals_proxy.cli.options import OF_THE_PROXIES, config_option, health_option
from signals_proxy.cli.rotation import accounts, ask, named, opened, read
from signals_proxy.cli.voice import tell, tell_error, tell_hint
from signals_proxy.config import Settings
from signals_proxy.errors import SignalsError
from signals_proxy.registry.reseal import Reseal

__all__ = ["reseal"]

_TOLD_EVERY_S: Final = 5.0


@click.command
@config_option(OF_THE_PROXIES)
@health_option
@click.pass_context
def reseal(context: click.Context, file: Path, urls: tuple[str, ...]) -> None:
    """Seal all accounts with the keyring's first key, while the proxies go on serving.

    Accounts that cannot be opened are left as they are. A run that was ended is gone on with by
    another run. Status 0: every account is sealed by the first key; 3: some cannot be opened.
    """
    context.exit(asyncio.run(_reseal(file, urls)))


async def _reseal(file: Path, urls: tuple[str, ...]) -> int:
    settings, keyring = read(file)
    if not await _all_have_the_primary(urls, settings, keyring):
        return 1
    stopped = asyncio.Event()
    async with opened(settings) as (registry, survey):
        run = Reseal(registry, survey, keyring)
        try:
            with _stopped_by_ctrl_c(stopped), _progress() as progress:
                await run.run(progress, stopped.is_set)
        except SignalsError:
            tell(f"{accounts(run.resealed)} sealed anew until then; run it again to go on")
            raise
    tell(f"{accounts(run.resealed)} sealed anew with the key {keyring.primary.id}")
    if stopped.is_set():
        tell_hint("it was stopped; run it again to go on")
        return 130
    return _told(run)


async def _all_have_the_primary(
    urls: tuple[str, ...], settings: Settings, keyring: Keyring
) -> bool:
    """Tell whether each proxy that was asked can open what is about to be sealed; say which not."""
    primary = keyring.primary.id
    bad = [each for each in await ask(urls, settings) if primary not in each.keys]
    for each in bad:
        tell_error(f"{each.url}: {each.reason or f'the proxy lacks the key {primary}'}")
    if bad:
        tell_hint(
            "nothing was sealed: copy the keyring to each proxy and reload it, then try again"
        )
    return not bad


def _told(run: Reseal) -> int:
    """Say what is not sealed by the primary key; return the exit status."""
    for state, sample in run.left.items():
        tell(f"{accounts(sample.count)} left as they are ({state.value}): {named(sample)}")
        tell_hint(state.remedy)
    if run.strays.count:
        tell(f"documents that are no accounts: {run.strays.count}: {named(run.strays)}")
        tell_hint("somebody wrote them to the index; delete them there")
    if run.changed.count:
        tell_error(
            f"{accounts(run.changed.count)} changed each time they were tried: {named(run.changed)}"
        )
        tell_hint("run it again; if that does not help, does a proxy still have the old keyring?")
        return 1
    return 3 if run.left or run.strays.count else 0


@contextmanager
def _stopped_by_ctrl_c(stopped: asyncio.Event) -> Iterator[None]:
    """Set the event at the first Ctrl-C, so that a batch is ended; the second one ends at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopped.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Yield what shows a bar on a terminal, and a line now and then elsewhere."""
    if sys.stderr.isatty():
        with ExitStack() as stack:
            bar: Any = None

            def draw(done: int, total: int) -> None:
                nonlocal bar
                if bar is None:
                    made = click.progressbar(length=total, label="resealing", file=sys.stderr)
                    bar = stack.enter_context(made)
                bar.update(done - bar.pos)

            yield draw
        return
    told = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() >= told + _TOLD_EVERY_S:
            told = time.monotonic()
            tell(f"{done} of {total}")

    yield say
