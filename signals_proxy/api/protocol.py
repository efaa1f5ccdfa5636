"""The HTTP protocol of the application's connections: aiohttp's, but for what it cannot read.

aiohttp answers a request that it cannot parse before any application sees it: in its own shape,
with the offending bytes in the answer and in the log. Such a request may hold a password like any
other. The relay refuses most of them before; here is what is left.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMethod

from signals_proxy.api import answer
from signals_proxy.api.boundary import PeerOf, way_of
from signals_proxy.telemetry.audit import Audit, Entry
from signals_proxy.telemetry.log import Log

__all__ = ["AccountProtocol"]

_log = Log("api")


class AccountProtocol(web.RequestHandler):
    """One connection. ``product`` tells the cluster's name for itself, if it is known.

    ``methods`` are those of an account: all that a target here can be about.
    """

    def __init__(
        self,
        server: web.Server,
        *,
        audit: Audit,
        peer_of: PeerOf,
        product: Callable[[], str | None],
        methods: tuple[str, ...],
        **options: Any,
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._audit = audit
        self._peer_of = peer_of
        self._product = product
        self._methods = methods

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Log what aiohttp has to say of an exception, but not what the exception itself says."""
        error = kwargs.get("exc_info")
        way = way_of(error) if isinstance(error, BaseException) else ""
        _log.error("unexpected error of a connection", what=args[0], way=way)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  it quotes the request
    ) -> web.StreamResponse:
        """Return the answer to a request that no handler saw, with an audit line of its own.

        Raises ``ConnectionError`` if something of an answer was sent already.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        entry = Entry(secrets.token_hex(16), request.method, self._peer_of(request))
        with self._audit.call(entry):
            entry.error = type(exc).__name__
            if isinstance(exc, BadHttpMethod):
                allowed = ", ".join(self._methods)
                refusal = answer.error(405, f"Unexpected http method, allowed: [{allowed}]")
                refusal.headers[hdrs.ALLOW] = ",".join(self._methods)
            elif status == 400:
                refusal = answer.error(400, "The request is not well-formed HTTP.")
            else:
                refusal = answer.internal_error(entry.request_id)
                if exc is not None:
                    _log.error("unexpected error", request_id=entry.request_id, way=way_of(exc))
            entry.status = refusal.status
        answer.finish_fields(refusal, self._product(), None)
        refusal.headers[hdrs.SERVER] = "signals-proxy"  # or aiohttp adds its own name and version
        refusal.force_close()
        return refusal
