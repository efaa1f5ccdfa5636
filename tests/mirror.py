"""Machines without a network, caches that lack a jar, and a package registry of the test's own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from signals_proxy import embedded
from signals_proxy.embedded import jars

SMALL = "ecs-logging-core-1.7.0.jar"
"""A small jar of the node, for tests in which one is missing or bad."""

Answer = Callable[[BaseHTTPRequestHandler], None]


def linked_cache(cache: Path) -> Path:
    """Make a user's cache in which all jars lie, as links; return their folder.

    ``cache`` is what ``XDG_CACHE_HOME`` has to say. Who changes a jar has to remove the link first.
    """
    jars.fetch(embedded.VERSION)
    place = cache / "signals-proxy" / f"elasticsearch-{embedded.VERSION}"
    place.mkdir(parents=True)
    for path in jars.verify(embedded.VERSION):
        (place / path.name).symlink_to(path)
    return place


def offline(home: Path) -> dict[str, str]:
    """Return the environment of a user without settings, on a machine without a network."""
    (home / ".config").mkdir(parents=True)
    nowhere = "http://127.0.0.1:9"  # nobody listens on it
    proxies = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
    own = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
    return {"HOME": str(home), **dict.fromkeys(proxies, nowhere), **own}


@contextmanager
def mirror(home: Path, answer: Answer) -> Iterator[None]:
    """Run a registry that answers every question alike, and name it in the user's settings."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        (home / ".config" / "jgo.conf").write_text(
            f"[repositories]\nmirror = http://127.0.0.1:{server.server_address[1]}\n"
        )
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def file(content: bytes, *, length: int | None = None) -> Answer:
    """Answer with a file, and say that it is so long; then end the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return answer
