"""The official client, made for one worker.

Its connections carry the proxy's own credentials and are never shared with the data plane, nor
with anything that acts as a caller.

Rules of the file: what the client would log, warn of or guess by itself is turned off here, once:

- *Request logs.* At ``DEBUG`` the client writes each body, there and back. None is written.
- *Warnings.* A ``Warning`` field becomes a Python warning in the client, which a filter may turn
  into an exception, after the write it came with. They are logged once each instead; callers never
  see them.
- *Products.* OpenSearch is spoken to in the same words. It knows no media types but the plain ones,
  which every Elasticsearch knows as well, and gives no ``X-elastic-product``, without which the
  client takes no answer: it is added, and :func:`product` tells what the cluster itself gave. Who
  gives the field another value is still refused.
- *Sizes.* No answer is read that is larger than ``_LARGEST_READ``; one of a request with the field
  :data:`UNPARSED`, which is not sent, is returned as bytes, for its caller to read.
- *Numbers.* A stored document is read so that each retyping of a value stays visible (see
  :class:`StrictJson`), for everything in it is bound to its seal.
"""

import base64
import json
import logging
import math
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from aiohttp import (
    ClientConnectorError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    DummyCookieJar,
    ServerDisconnectedError,
)
from elastic_transport import (
    AiohttpHttpNode,
    HttpHeaders,
    JsonSerializer,
    SerializationError,
    Serializer,
)
from elastic_transport import ConnectionError as ConnectionFailed
from elastic_transport.client_utils import url_to_node_config
from elasticsearch import AsyncElasticsearch

from signals_proxy.registry.settings import (
    ApiKeyCredentials,
    BasicCredentials,
    BearerCredentials,
    CertificateCredentials,
    RegistrySettings,
)

__all__ = ["READ_TIMEOUT_S", "UNPARSED", "NeverConnected", "connect", "product", "read_json"]

READ_TIMEOUT_S: Final = 10.0

UNPARSED: Final = "x-signals-proxy-unparsed"
"""A field of requests; see the rules above."""

_AGAIN: Final = "again"
"""Its value where the connection ended before; at first it has none."""

_WARNINGS_REMEMBERED: Final = 100
_LONGEST_INTEGER: Final = 20  # digits; 2^63 has 19
_LARGEST_READ: Final = 16 * 1024 * 1024  # bytes; ten of the largest accounts
_LARGEST: Final = 4 * 1024 * 1024  # bytes; of a body of 1 MiB, escaped and boxed, not even 3
_DEEPEST: Final = 100  # levels; an account's body has at most 32

_PRODUCT: Final = "x-elastic-product"
_ADDED: Final = "x-elastic-product-added"
_BYTES: Final = "application/octet-stream"
_VENDOR: Final = re.compile(r"vnd\.elasticsearch\+(\S+); compatible-with=\d+")

_logger = logging.getLogger(__name__)


def product(fields: Mapping[str, str]) -> str | None:
    """Return the ``X-elastic-product`` that came with an answer; None if there was none."""
    return None if _ADDED in fields else fields.get(_PRODUCT)


def connect(
    settings: RegistrySettings,
    hosts: Sequence[str],
    ssl_context: ssl.SSLContext | None,
    *,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> AsyncElasticsearch:
    """Return a client of the nodes ``hosts`` (``https://name:9200``); nothing is sent yet.

    ``read_timeout_s`` is the time that one try of a request may take, unless it says otherwise.

    A read is tried up to three times when a connection breaks; callers turn that off for writes.
    """
    nodes = [url_to_node_config(host, use_default_ports_for_scheme=True) for host in hosts]
    if ssl_context is not None:
        nodes = [
            node.replace(ssl_context=ssl_context) if node.scheme == "https" else node
            for node in nodes
        ]
    return AsyncElasticsearch(
        nodes,
        node_class=RegistryNode,
        request_timeout=read_timeout_s,
        max_retries=2,
        retry_on_timeout=False,
        serializers={"application/json": StrictJson(), _BYTES: Unparsed()},
        **_authentication(settings),
    )


def _authentication(settings: RegistrySettings) -> dict[str, Any]:
    match settings.credentials:
        case BasicCredentials(username, password):
            # As UTF-8 (RFC 7617 2.1). Given in two parts, the client would insist on ASCII.
            pair = f"{username}:{password.reveal()}".encode()
            return {"basic_auth": base64.b64encode(pair).decode()}
        case ApiKeyCredentials(key):
            return {"api_key": key.reveal()}
        case BearerCredentials(token):
            return {"bearer_auth": token.reveal()}
        case CertificateCredentials() | None:  # the TLS context shows it
            return {}


class NeverConnected(ConnectionFailed):
    """No connection could be made, or no TLS handshake completed: nothing was sent."""


class RegistryNode(AiohttpHttpNode):
    """A node of the cluster that keeps what passes to itself, and its warnings in our log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told: set[str] = set()

    async def perform_request(  # type: ignore[override]  # as the parent's own
        self, method: str, target: str, *, headers: Mapping[str, str], **kwargs: Any
    ) -> Any:
        """Do as the parent does, in plain media types, and mend the fields of the answer.

        Raises :class:`NeverConnected` where the parent raises one error for connecting and sending;
        only here is the cause still at hand.
        """
        plain = {name: _VENDOR.sub(r"\1", value) for name, value in headers.items()}
        unparsed = plain.pop(UNPARSED, None)
        try:
            answer = await super().perform_request(
                method, target, headers=HttpHeaders(plain), **kwargs
            )
        except ConnectionFailed as error:
            match error.errors:
                case (ClientConnectorError(), *_):
                    raise NeverConnected(error.message, error.errors) from error
                case (_TooLarge(), *_):
                    raise SerializationError("too large") from None
                case (ServerDisconnectedError() | ClientPayloadError(), *_) if unparsed is not None:
                    # So ends what a node cannot write as JSON. No other would do better, and none
                    # is to be put aside for it. One that has died takes no second connection.
                    if unparsed == _AGAIN:
                        raise SerializationError("cut off") from None
                    plain[UNPARSED] = _AGAIN
                    return await self.perform_request(method, target, headers=plain, **kwargs)
            raise
        fields = {name.lower(): value for name, value in answer.meta.headers.items()}
        warning = fields.pop("warning", None)
        if (
            warning is not None
            and warning not in self._told
            and len(self._told) < _WARNINGS_REMEMBERED
        ):
            self._told.add(warning)
            _logger.warning("warning of the cluster", extra={"fields": {"text": warning}})
        if _PRODUCT not in fields:
            fields |= {_PRODUCT: "Elasticsearch", _ADDED: ""}
        if unparsed is not None and answer.meta.status == 200:
            fields["content-type"] = _BYTES
        return answer._replace(meta=replace(answer.meta, headers=HttpHeaders(fields)))

    def _create_aiohttp_session(self) -> None:
        super()._create_aiohttp_session()
        # The parent offers no other way: what it reads, it reads whole.
        made = self.session
        assert made is not None  # noqa: S101  the parent has made it
        self.session = ClientSession(
            connector=made.connector,
            headers=made.headers,
            skip_auto_headers=made.skip_auto_headers,
            cookie_jar=DummyCookieJar(),
            response_class=_Bounded,
        )
        made.detach()

    def _log_request(self, *args: Any, **kwargs: Any) -> None:
        """Log nothing: the parent writes whole bodies."""


class _TooLarge(Exception):
    """An answer over the limit; the parent makes its own of it."""


class _Bounded(ClientResponse):
    """An answer that is not read beyond the limit."""

    async def read(self) -> bytes:
        data = bytearray()
        async for piece in self.content.iter_any():
            data += piece
            if len(data) > _LARGEST_READ:
                raise _TooLarge
        return bytes(data)


class Unparsed(Serializer):
    """Leaves an answer as it is."""

    mimetype = _BYTES

    def loads(self, data: bytes) -> bytes:
        """Return the same."""
        return data


class StrictJson(JsonSerializer):
    """JSON that keeps apart what a seal keeps apart.

    What no sealed account holds, a number with a fraction, one too large for anybody, a number
    that is none, a key given twice, is read as a ``float``: an account that shows one cannot be
    verified, and no reading of it ends in an error. (Elasticsearch refuses most of them when they
    are written as JSON; other ways into an index exist.)
    """

    def loads(self, data: bytes) -> Any:
        """Return the value; raises :class:`SerializationError`, which quotes nothing."""
        if not data:
            return None
        if len(data) > _LARGEST:
            raise SerializationError("too large")
        return read_json(data)


def read_json(data: bytes) -> Any:
    """Return the value as :class:`StrictJson` does; raises :class:`SerializationError`."""
    try:
        value = json.loads(data, parse_int=_integer, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        # From None: the cause holds the whole text.
        raise SerializationError("not JSON") from None
    if not _is_shallow(value):
        raise SerializationError("nested too deeply")
    return value


def _integer(digits: str) -> int | float:
    # Python refuses to convert thousands of digits, and takes long for hundreds of thousands.
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _is_shallow(value: Any) -> bool:
    """Tell whether what comes after may walk through the value recursively."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return not level


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Readers disagree about which of the two counts; so neither does.
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                members[name] = math.nan
            seen.add(name)
    return members
