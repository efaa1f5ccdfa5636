"""Asks whether the cluster answers at all: ``GET /``, on a connection of its own.

Any answer in HTTP counts, a 401 as well as a 503: whether a node is there is judged by whether it
speaks, not by what it says to somebody without credentials.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from signals_proxy.errors import Lost, NotConnected, TimedOut, UpstreamError
from signals_proxy.relay.tls import learn
from signals_proxy.relay.upstream import Upstream

__all__ = ["Reached", "reach"]

ANSWER_S: Final = 10.0
"""How long a node may take to answer; one that is busy beyond that is no help either."""

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})[ \r]")


@dataclass(frozen=True, slots=True)
class Reached:
    """A node that answered, and with which status."""

    url: str
    status: int


async def reach(
    upstream: Upstream, tls: Sequence[ssl.SSLContext], answer_s: float = ANSWER_S
) -> Reached:
    """Return the first node that answers, in the order of the configuration.

    ``tls`` are the contexts of :func:`~signals_proxy.relay.tls.client_context` for https nodes, of
    which the first is used here. If they still lack the certificate of ``ca_fingerprint``, this
    finds it for all of them.

    :raises UpstreamError: that of the last node, if none answers.
    """
    failed: UpstreamError = NotConnected("no node is configured")
    for url in upstream.hosts:
        try:
            return Reached(url, await _ask(url, upstream, tls, answer_s))
        except UpstreamError as error:
            failed = error
    raise failed


async def _ask(url: str, upstream: Upstream, tls: Sequence[ssl.SSLContext], answer_s: float) -> int:
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 9200)
    timeout_s = upstream.connect_timeout_s
    if secure and upstream.ca_fingerprint and not tls[0].cert_store_stats()["x509"]:
        await learn(tls, host, port, upstream.ca_fingerprint, timeout_s=timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=tls[0] if secure else None
            )
    except TimeoutError as error:
        raise TimedOut(f"no connection to {url} in {timeout_s:g} s") from error
    except OSError as error:
        raise NotConnected(f"no connection to {url}: {_why(error)}") from error
    try:
        async with asyncio.timeout(answer_s):
            writer.write(b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % _host(url))
            line = await reader.readline()
    except TimeoutError as error:
        raise TimedOut(f"{url} does not answer within {answer_s:g} s") from error
    except ValueError as error:  # a line without an end
        raise Lost(f"{url} does not answer in HTTP") from error
    except OSError as error:
        raise Lost(f"{url} closed the connection instead of answering") from error
    finally:
        writer.transport.abort()
    if not line:
        raise Lost(f"{url} closed the connection instead of answering")
    found = _STATUS_LINE.match(line)
    if found is None:
        raise Lost(f"{url} does not answer in HTTP")
    return int(found[1])


def _host(url: str) -> bytes:
    return urlsplit(url).netloc.encode()


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    if isinstance(error, ssl.SSLError) or error.errno is None or error.errno < 0:
        return str(error.strerror or error)
    return os.strerror(error.errno).lower()
