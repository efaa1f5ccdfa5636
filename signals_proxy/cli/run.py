"""``signals-proxy run``: a development cluster, the proxy in front of it, and what to try.

Order of a start: what can fail at once (addresses, the data folder), what has to be downloaded, the
node, the proxy. Everything that is started ends with this process, however it ends.
"""

import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from signals_proxy import embedded
from signals_proxy.account import keyring
from signals_proxy.cli.voice import tell, tell_hint
from signals_proxy.embedded import archive, data, jars, network, proxy
from signals_proxy.embedded.fate import end_with_parent, how
from signals_proxy.errors import ConfigError

__all__ = ["run"]

Address = tuple[str, int]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_NODE: Final = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+):[0-9]{1,5}", re.ASCII)

_CONFIG: Final = """\
# Written anew by every start of `signals-proxy run`, from its options.
# config.example.yaml tells what a configuration for production can hold.
listen: ['{listen}']
upstream:
  hosts: ['{hosts}']
keyring:
  file: keyring
authorization:
  backend: none
health:
  listen: '{health}'
limits:
  drain: 3s
"""

_ACCOUNT: Final = (
    '{"host": "smtp.example.com", "port": 465, "user": "signals", "password": "secret",'
    ' "enable_tls": true, "default_from": "Signals <signals@example.com>",'
    ' "default_bcc": "signals@example.com"}'
)


class _Address(click.ParamType[Address, Any]):
    name = "host:port"

    def convert(self, value: Any, param: Any, ctx: Any) -> Address:
        host, colon, port = value.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        good = re.fullmatch(r"[\w.:-]+", host, re.ASCII) and re.fullmatch(r"[0-9]{1,5}", port)
        if not (colon and good and 0 < int(port) < 65536):
            self.fail(f"{value!r} is no address such as 127.0.0.1:9201", param, ctx)
        return host, int(port)


class _Stopped(BaseException):
    """Ctrl-C, or another signal that asks for an end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(frozen=True, slots=True)
class _Cluster:
    hosts: tuple[str, ...]
    description: str
    node: embedded.Node | None = None


@click.command
@click.option("--listen", type=_Address(), default="127.0.0.1:9201", help="The proxy's address.")
@click.option("--upstream", default="", help="URLs of a cluster that exists, with commas.")
@click.option("--data", "folder", type=click.Path(path_type=Path), default=Path(".run"))
@click.option("--health", type=_Address(), default="127.0.0.1:9203", help="/live and /ready.")
@click.option("--node-port", type=click.IntRange(1, 65535), default=9200, help="Elasticsearch's.")
def run(listen: Address, upstream: str, folder: Path, health: Address, node_port: int) -> None:
    """Start a development cluster and the proxy in front of it, until Ctrl-C.

    For trying things out: the cluster has no security, and everybody on this machine may use it.
    """
    ready = False
    if "MAKELEVEL" in os.environ:  # not to go on in the background when make is gone
        end_with_parent(signal.SIGTERM)
    try:
        with _stoppable(), ExitStack() as stack:
            lock = stack.enter_context(data.claimed(folder))
            _require_free(listen, "LISTEN")
            _require_free(health, "HEALTH")
            try:
                cluster = _cluster(upstream, folder, node_port, lock, stack)
                config, log = _files(folder, listen, health, cluster), folder / "proxy.log"
                child = stack.enter_context(proxy.serving(config, log, health, inherited=[lock]))
                ready = True
                _tell(listen, health, folder, cluster)
                # Returns when a child ended, without taking its status from who waits for it.
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
                raise _ended(cluster, child.poll(), log)
            except _Stopped:
                tell("stopping")
                raise
    except _Stopped as stopped:
        sys.exit(0 if ready else 128 + stopped.number)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Raise ``_Stopped`` on the first signal, and let no further one disturb the end."""

    def stop(number: int, _: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise _Stopped(number)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_free(address: Address, variable: str) -> None:
    network.require_free(
        *address,
        remedy=f"end the program that has it, or choose another: make run {variable}=host:port",
    )


def _cluster(upstream: str, folder: Path, node_port: int, lock: int, stack: ExitStack) -> _Cluster:
    if upstream:
        return _existing(upstream)
    return _embedded(folder, node_port, lock, stack)


def _existing(upstream: str) -> _Cluster:
    """Return the cluster of ``--upstream`` if at least one node of it answers."""
    hosts = tuple(filter(None, (host.strip().rstrip("/") for host in upstream.split(","))))
    for host in hosts:
        if not _NODE.fullmatch(host):
            raise ConfigError(
                f"UPSTREAM: {host!r} is no URL of a node",
                remedy="a node is http://host:9200 or https://host:9200; more of them with commas",
            )
    silent = {host: reason for host in hosts if (reason := network.answers(host))}
    if len(silent) == len(hosts):
        reasons = "; ".join(f"{host}: {reason}" for host, reason in silent.items())
        raise ConfigError(
            f"no node of the cluster answers ({reasons})",
            remedy="start it or correct UPSTREAM=http://host:9200; without UPSTREAM an "
            "embedded Elasticsearch is used",
        )
    for host, reason in silent.items():
        tell_hint(f"{host} does not answer: {reason}")
    return _Cluster(hosts, "the cluster that you named")


def _embedded(folder: Path, port: int, lock: int, stack: ExitStack) -> _Cluster:
    """Start the embedded node; what has to be downloaded for it is downloaded first."""
    network.require_free(
        "127.0.0.1",
        port,
        remedy="end the program that has it, or choose another: make run NODE_PORT=9210; "
        f"a cluster of yours? make run UPSTREAM=http://127.0.0.1:{port}",
    )
    version = embedded.VERSION
    _fetch(version)
    if archive.is_missing(version):
        click.echo("preparing later starts, once …")
        archive.make(version)
    click.echo(f"starting Elasticsearch {version} …")
    node = embedded.start(version, folder / "node", http_port=port, inherited=[lock])
    stack.enter_context(node)
    return _Cluster((node.url,), f"Elasticsearch {version}, log in {node.log}", node)


def _fetch(version: str) -> None:
    """Download the jars and show how far it is.

    In a thread, for a name that does not resolve holds its thread for longer than a person who
    pressed Ctrl-C wants to wait. What it had begun is cleared away by the next start.
    """
    failures: list[BaseException] = []

    def fetch(progress: jars.Progress) -> None:
        try:
            jars.fetch(version, progress)
        except BaseException as error:  # noqa: BLE001 - raised again, where it is waited for
            failures.append(error)

    with _progress(version) as progress:
        thread = threading.Thread(target=fetch, args=[progress], daemon=True)
        thread.start()
        thread.join()
    if failures:
        raise failures[0]


@contextmanager
def _progress(version: str) -> Iterator[jars.Progress]:
    """Yield what shows a progress bar on a terminal, and a line now and then elsewhere."""
    title = f"downloading Elasticsearch {version}"
    if sys.stdout.isatty():
        from rich import progress as bars  # noqa: PLC0415 - paid by a start that downloads alone

        # Narrow enough for a terminal of 80 columns.
        with bars.Progress(title, bars.BarColumn(30), bars.DownloadColumn()) as bar:
            task = None

            def draw(arrived: int, total: int, _: str) -> None:
                nonlocal task
                if task is None:
                    task = bar.add_task(title, total=total)
                bar.update(task, completed=arrived)

            yield draw
        return
    told = -1

    def tell(arrived: int, total: int, _: str) -> None:
        nonlocal told
        if (tenths := 10 * arrived // total) > told:
            told = tenths
            click.echo(f"{title}: {arrived >> 20} of {total >> 20} MB")

    yield tell


def _files(folder: Path, listen: Address, health: Address, cluster: _Cluster) -> Path:
    """Write the keyring, if there is none, and the configuration; return the latter's path."""
    if not (folder / "keyring").exists():
        data.write(folder / "keyring", keyring.generate(), mode=0o600)
    text = _CONFIG.format(
        listen=_text(listen),
        hosts="', '".join(cluster.hosts),
        health=_text(health),
    )
    data.write(folder / "signals-proxy.yaml", text, mode=0o600)
    return folder / "signals-proxy.yaml"


def _tell(listen: Address, health: Address, folder: Path, cluster: _Cluster) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen[0], listen[0])  # noqa: S104
    url = f"http://{_text((host, listen[1]))}"
    account = f"{url}/_signals/account/email/default"
    click.echo(
        f"""
ready
  {url}  the proxy, log in {folder / "proxy.log"}
  {", ".join(cluster.hosts)}  {cluster.description}
  http://{_text(health)}/ready  the proxy's health

try, in another terminal: write an account, read it, see how it lies in the cluster, and ask the
cluster anything else
  curl -X PUT {account} -H 'Content-Type: application/json' -d {shlex.quote(_ACCOUNT)}
  curl '{account}?pretty'
  curl '{url}/.signals_accounts/_search?pretty'
  curl '{url}/_cat/indices?v&expand_wildcards=all'

Ctrl-C ends it; the data stays in {folder}"""
    )


def _ended(cluster: _Cluster, proxy_status: int | None, log: Path) -> ConfigError:
    """Return the error for the child that ended by itself."""
    if proxy_status is None and cluster.node is not None:
        status, what, log = cluster.node.process.poll(), "Elasticsearch", cluster.node.log
    else:
        status, what = proxy_status, "the proxy"
    return ConfigError(
        f"{what} ended by itself ({how(status)}), so everything was stopped",
        remedy=f"its log may say why: {log}; then start again, the data is kept",
    )


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
