"""Connections that begin with a TLS handshake: from being accepted to being a client's.

Rules of the file

- They are the relay's connections from the start: counted, waited for, and ended in time.
- Nothing is read from a transport without TLS. One that was given to a protocol reads at once, so
  whoever began TLS on it later would have lost the client's first words.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from signals_proxy.relay.client import ClientConnection, Switchboard

__all__ = ["Handshakes"]

_UNSENT: Final = 64 * 1024
"""Bytes kept for a client who does not read, beside what the kernel keeps: as without TLS."""


_NO_TLS: Final = {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER"}


@dataclass(slots=True)
class _Handshake:
    task: asyncio.Task[None]
    until: float


class Handshakes:
    """The handshakes that are under way on the listeners of a relay.

    The relay has to ``forget`` a client who joins it, and is told of one who has ``left`` before.
    Times are the event loop's, in seconds. ``timeout_s`` is for a handshake; ``idle_timeout_s`` is
    how long the connection that follows it may take to send its last words. ``failed`` counts those
    that failed, by the reasons that the metric of this has.
    """

    def __init__(self, relay: Switchboard, timeout_s: float, idle_timeout_s: float) -> None:
        self._relay = relay
        self._timeout_s = timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._under_way: dict[ClientConnection, _Handshake] = {}
        self.failed: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._under_way)

    def protocol(self, tls: ssl.SSLContext, within_s: float) -> asyncio.Protocol:
        """Return the protocol of a connection that was accepted."""

        def take(connection: socket.socket) -> None:
            client, loop = ClientConnection(self._relay), asyncio.get_running_loop()
            task = loop.create_task(self._shake(client, connection, tls))
            self._under_way[client] = _Handshake(task, loop.time() + within_s)

        return _Accepted(take)

    def forget(self, client: ClientConnection) -> None:
        """Take notice that a client's handshake is done."""
        self._under_way.pop(client, None)

    def hurry(self, until: float) -> None:
        """Let none take longer than until then."""
        for handshake in self._under_way.values():
            handshake.until = min(handshake.until, until)

    def tick(self, now: float) -> None:
        """End those that took too long."""
        for handshake in list(self._under_way.values()):
            if now > handshake.until:
                handshake.task.cancel()

    async def _shake(
        self, client: ClientConnection, connection: socket.socket, tls: ssl.SSLContext
    ) -> None:
        reason = "slow"  # unless it ends by itself
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: client,
                connection,
                ssl=tls,
                ssl_handshake_timeout=self._timeout_s,
                # It begins with our last words, whether they are read or not. That a client who has
                # read them leaves is looked after by the relay's clock.
                ssl_shutdown_timeout=self._idle_timeout_s,
            )
            transport.set_write_buffer_limits(_UNSENT)
        except OSError as error:
            reason = _reason(error)
        finally:
            if self._under_way.pop(client, None) is not None:
                self.failed[reason] += 1
                self._relay.left(client)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        told = error.reason or ""
        if told in _NO_TLS:
            return "no_tls"
        if "_ALERT_" in told:  # the client's own word for it
            return "refused"
        return "certificate" if "CERTIFICATE" in told else "other"
    return "slow" if isinstance(error, ConnectionAbortedError) else "left"


class _Accepted(asyncio.Protocol):
    """Takes the socket out of a transport that a listener made; ``take`` gets it.

    A listener that begins TLS itself tells nobody of a connection before its handshake is done, nor
    if it fails.
    """

    def __init__(self, take: Callable[[socket.socket], None]) -> None:
        self._take = take

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.BaseProtocol``."""
        with contextlib.suppress(OSError):  # no descriptor is left: then the connection ends here
            accepted = transport.get_extra_info("socket")
            self._take(socket.socket(fileno=os.dup(accepted.fileno())))
        cast("asyncio.Transport", transport).abort()
