"""``signals-proxy keys status``: where a rotation stands, and what it needs next.

The table goes to standard output, what needs attention to standard error, each with its remedy.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from signals_proxy.account.keyring import Keyring
from signals_proxy.cli.rotation import Listener, accounts, ask, named, opened, read
from signals_proxy.cli.voice import shown, tell, tell_hint
from signals_proxy.registry.survey import Tally

__all__ = ["status"]


class _Finding(NamedTuple):
    problem: str
    remedy: str


async def status(file: Path, urls: tuple[str, ...]) -> int:
    """Tell it; return 0 if nothing needs attention, and otherwise 3."""
    settings, keyring = read(file)
    async with opened(settings) as (_, survey):
        tally = await survey.tally([key.id for key in keyring.keys])
    listeners = await ask(urls, settings)
    if tally is None:
        tell("there is no index yet, so there are no accounts")
    else:
        _print_table(tally, keyring)
    found = [*(_of_accounts(tally, keyring) if tally else ()), *_of_proxies(listeners, keyring)]
    for each in found:
        tell(each.problem)
        tell_hint(each.remedy)
    if not listeners:
        tell_hint(
            f"no proxy was asked for its keys: --health URL asks one ({settings.health} is silent)"
        )
    if found:
        return 3
    tell("nothing needs attention")
    return 0


def _print_table(tally: Tally, keyring: Keyring) -> None:
    rows = [("key", "", "accounts")]
    rows += [
        (key.id, "primary" if key is keyring.primary else "", str(tally.by_key[key.id]))
        for key in keyring.keys
    ]
    rows += [(shown(key), "unknown", str(count)) for key, count in tally.unknown_keys.items()]
    others = tally.unknown.count - sum(tally.unknown_keys.values())
    if others > 0:
        rows.append(("other keys", "unknown", str(others)))
    rows += [("no key", "unsealed", str(tally.unsealed.count)), ("all", "", str(tally.total))]
    for key, role, count in rows:
        click.echo(f"{key:<32}  {role:<8}  {count:>9}")


def _of_accounts(tally: Tally, keyring: Keyring) -> Iterator[_Finding]:
    """Yield what is wrong with accounts."""
    primary = tally.by_key[keyring.primary.id]
    old = sum(tally.by_key.values()) - primary
    if old:
        yield _Finding(
            f"{accounts(old)} sealed by a key that is not the primary",
            "`accounts reseal` seals them with the primary, once every proxy has it",
        )
    if tally.unknown.count:
        yield _Finding(
            f"unknown key: {accounts(tally.unknown.count)} cannot be opened:"
            f" {named(tally.unknown)}",
            "put its line back, or PUT these accounts again with every secret in clear",
        )
    if tally.unsealed.count:
        yield _Finding(
            f"unsealed: {accounts(tally.unsealed.count)} written to the index, not by PUT:"
            f" {named(tally.unsealed)}",
            "check each, and PUT it again with every secret in clear, or delete it",
        )
    if primary + old + tally.unknown.count + tally.unsealed.count != tally.total:
        yield _Finding(
            "some documents name several keys and are counted more than once",
            "they were not written by PUT: GET an account to see whether it is verified",
        )


def _of_proxies(listeners: Sequence[Listener], keyring: Keyring) -> Iterator[_Finding]:
    """Yield what is wrong with the keys of proxies."""
    for each in listeners:
        missing = [key.id for key in keyring.keys if key.id not in each.keys]
        if each.reason:
            yield _Finding(f"{each.url}: {each.reason}", "start it, or correct the URL")
        elif missing:
            yield _Finding(
                f"{each.url}: the proxy lacks {', '.join(missing)}",
                "copy the keyring to it and reload it; after a reload that was just now, ask again"
                " once its old workers have ended",
            )
        elif each.primary != keyring.primary.id:
            yield _Finding(
                f"{each.url}: the proxy seals with {each.primary}, not with this keyring's primary",
                "copy the keyring to it and reload it, before you reseal",
            )
