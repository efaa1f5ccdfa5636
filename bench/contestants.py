"""Who is measured: each proxy as a child process, with a configuration from ``configs/``.

All have one worker unless a case is about two, keep their connections to the upstream, and write no
access log. What else they do is their default.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from tempfile import mkdtemp
from typing import Final

import trustme

from bench.children import executable, free_ports, run
from signals_proxy.account import keyring

__all__ = [
    "CADDY", "DIRECT", "EVERYBODY", "HAPROXY", "NGINX", "NGINX_64K", "OURS",
    "Contestant", "Setup", "running",
]  # fmt: skip

NGINX: Final = "nginx"
NGINX_64K: Final = "nginx, 64 KiB buffers"
HAPROXY: Final = "HAProxy"
CADDY: Final = "Caddy"
OURS: Final = "signals_proxy"
DIRECT: Final = "direct"
EVERYBODY: Final = (NGINX, HAPROXY, CADDY, OURS)

_CONFIGS: Final = Path(__file__).with_name("configs")
_LARGE_BUFFERS: Final = (
    "proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;"
    " client_body_buffer_size 64k; proxy_request_buffering off;"
)


class _Text(Template):
    delimiter = "@"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One that runs; without a process it is what the others stand in front of."""

    name: str
    url: str
    port: int
    process_id: int | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """How all of a case's contestants run. ``authorization`` is our proxy's, for its own calls."""

    folder: Path
    upstream: int
    workers: int = 1
    tls: bool = False
    authorization: str = "{backend: none}"


@contextmanager
def running(names: Sequence[str], setup: Setup) -> Iterator[dict[str, Contestant]]:
    """Run some contestants, each in a folder of its own."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(_started(name, setup)) for name in names}


@contextmanager
def _started(name: str, setup: Setup) -> Iterator[Contestant]:
    scheme = "https" if setup.tls else "http"
    if name == DIRECT:
        yield Contestant(name, f"http://127.0.0.1:{setup.upstream}", setup.upstream)
        return
    port, health = free_ports(2)
    folder = Path(mkdtemp(dir=setup.folder))
    words = {"port": port, "health": health, "upstream": setup.upstream, "folder": folder}
    words |= {"workers": setup.workers, "scheme": scheme, "authorization": setup.authorization}
    _write_certificate(folder)
    command = _command(name, setup, folder, words)
    with run(command, folder, port, setup.workers) as process_id:
        url = f"{scheme}://127.0.0.1:{port}"
        yield Contestant(name, url, port, process_id, Path(command[-1]))


def _command(name: str, setup: Setup, folder: Path, words: Mapping[str, object]) -> list[str]:
    """Write a contestant's configuration and return how it is started."""

    def configure(file: str, **more: str) -> str:
        target = folder / file
        target.touch(0o600)
        target.write_text(_Text((_CONFIGS / file).read_text()).substitute(words, **more))
        return str(target)

    tls = setup.tls
    if name == CADDY:
        file = configure("Caddyfile", tls=f"tls {folder}/certificate.pem {folder}/key.pem" * tls)
        return [executable("caddy"), "run", "--adapter", "caddyfile", "--config", file]
    if name == HAPROXY:
        file = configure("haproxy.cfg", tls=f" ssl crt {folder}/both.pem" * tls)
        return [executable("haproxy"), "-db", "-f", file]
    if name == OURS:
        ring = folder / "keyring"
        ring.touch(0o600)
        ring.write_text(keyring.generate())
        file = configure(
            "proxy.yaml", tls="tls: {certificate: certificate.pem, key: key.pem}" * tls
        )
        return [sys.executable, "-P", "-m", "signals_proxy", "serve", "--config", file]
    file = configure(
        "nginx.conf",
        tls=" ssl" * tls,
        user="user root;" if os.geteuid() == 0 else "",
        buffers=_LARGE_BUFFERS if name == NGINX_64K else "",
    )
    return [executable("nginx"), "-p", str(folder), "-c", file]


def _write_certificate(folder: Path) -> None:
    issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
    pems = b"".join(each.bytes() for each in issued.cert_chain_pems)
    key = issued.private_key_pem.bytes()
    for name, content in (("certificate", pems), ("key", key), ("both", pems + key)):
        file = folder / f"{name}.pem"
        file.touch(0o600)
        file.write_bytes(content)
