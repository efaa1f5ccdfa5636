"""What a request says: its target, its caller, its body.

Rules of the file: a body is asked for only by :func:`body`, and only once everything that can be
refused without it has been: it may hold a password, and a client that sent
``Expect: 100-continue`` is waiting for a reason to keep it.
"""

import asyncio
import re
import zlib
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from signals_proxy.account.body import MAX_BODY
from signals_proxy.authorization import Caller
from signals_proxy.errors import (
    BodyTooLarge,
    Forbidden,
    InvalidBody,
    InvalidParameter,
    WrongMediaType,
)
from signals_proxy.secret import CREDENTIAL_FIELDS, Secret

__all__ = [
    "answered_in",
    "awaits_continue",
    "body",
    "caller",
    "is_json",
    "one_field",
    "refuse_web_pages",
    "takes_gzip",
    "target",
]

# RFC 9110 8.3.1: type "/" subtype, then parameters, only one of which matters here.
_MEDIA_TYPE: Final = re.compile(
    r"\s*(?P<type>application/(?:json|vnd\.elasticsearch\+json))\s*(?:;.*)?", re.IGNORECASE
)
_COMPATIBLE: Final = re.compile(r";\s*compatible-with\s*=\s*([^;\s]*)", re.IGNORECASE)
_COMPATIBLE_WITH: Final = ("9", "8")
_NOT_AT_ALL: Final = re.compile(r"\s*q\s*=\s*0(?:\.0*)?\s*", re.IGNORECASE)
_GZIP: Final = 16 + zlib.MAX_WBITS
_CONTINUED: Final = web.RequestKey("continued", bool)


def target(request: web.Request) -> str:
    """Return the request target as it stood on the wire, one character for each byte."""
    return request.raw_path.encode("utf-8", "surrogateescape").decode("latin-1")


def one_field(request: web.Request, name: str) -> str | None:
    """Return a field's value, None if it is absent, repeated or not printable ASCII."""
    values = request.headers.getall(name, [])
    if len(values) != 1 or not values[0].isascii() or not values[0].isprintable():
        return None
    return values[0]


def caller(request: web.Request, address: str | None) -> Caller:
    """Return who asks. Raises :class:`InvalidParameter` for a credential field given twice."""
    credentials = []
    for name in CREDENTIAL_FIELDS:
        values = request.headers.getall(name, [])
        if len(values) > 1:
            raise InvalidParameter(f"multiple values for single-valued header [{name}].")
        credentials += [(name, Secret(value)) for value in values]
    return Caller(tuple(credentials), address, one_field(request, hdrs.HOST))


def refuse_web_pages(request: web.Request, *, but_own: str | None) -> None:
    """Refuse what only a browser sends on behalf of a page; ``but_own`` lets pages of ours pass.

    Those are pages of the origin that the request itself is for (RFC 6454 6.2), whose scheme
    ``but_own`` is: a socket pair would not tell it.

    Raises :class:`Forbidden` for any other ``Origin``, and any ``Sec-Fetch-Site`` but ``none``
    (which is a person typing the address; W3C Fetch Metadata, 2.3) and, of ours, ``same-origin``.
    """
    host = one_field(request, hdrs.HOST)
    own = f"{but_own}://{host}".lower() if but_own and host else None
    origins = request.headers.getall(hdrs.ORIGIN, [])
    sites = {"none", "same-origin"} if but_own else {"none"}
    if any(origin.lower() != own for origin in origins) or not sites.issuperset(
        request.headers.getall("Sec-Fetch-Site", [])
    ):
        raise Forbidden("Web pages may not use this address.")


def awaits_continue(request: web.Request) -> bool:
    """Tell whether the client still waits for a ``100 Continue`` before it sends its body."""
    return (
        request.version >= HttpVersion11
        and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
        and not request.get(_CONTINUED, False)
        and not request.content.is_eof()
    )


def is_json(media_type: str) -> bool:
    """Tell whether it is one of those that bodies may have."""
    return _MEDIA_TYPE.fullmatch(media_type) is not None


def answered_in(request: web.Request) -> str:
    """Return the media type of the answer: the one asked for, if it is one of ours, or JSON.

    As in Elasticsearch what is not understood is not asked for, and who asks for nothing gets the
    media type of the body. Raises :class:`InvalidParameter` for versions that are not spoken.
    """
    wanted = "application/json"
    for name in (hdrs.CONTENT_TYPE, hdrs.ACCEPT):
        for value in request.headers.getall(name, []):
            found = _MEDIA_TYPE.fullmatch(value)
            if found is None or "," in value:
                continue
            wanted = found["type"].lower()
            version = _COMPATIBLE.search(value)
            if version is None or wanted == "application/json":
                continue
            if version[1] not in _COMPATIBLE_WITH:
                raise InvalidParameter(
                    f"Invalid media-type value on headers [{name}]: {name} version must be either"
                    f" version {' or '.join(_COMPATIBLE_WITH)}, but found {version[1][:64]}."
                )
            wanted += f";compatible-with={version[1]}"
    return wanted


def takes_gzip(request: web.Request) -> bool:
    """Tell whether the answer may be gzip: nobody gets it who did not name it."""
    for value in request.headers.getall(hdrs.ACCEPT_ENCODING, []):
        for coding in value.split(","):
            name, _, weight = coding.partition(";")
            if name.strip().lower() == "gzip":
                return _NOT_AT_ALL.fullmatch(weight) is None
    return False


async def body(
    request: web.Request, timeout_s: float, limit: int = MAX_BODY, what: str = "Accounts"
) -> bytes:
    """Return the body, inflated if it came as gzip.

    ``timeout_s`` is the time in which it has to have come whole; ``limit`` how many bytes it may
    have, as it comes and inflated; ``what`` it holds, for messages.

    Raises :class:`WrongMediaType`, :class:`BodyTooLarge` and :class:`InvalidBody`.
    """
    is_gzip = _coding(request)
    if request.can_read_body or hdrs.CONTENT_TYPE in request.headers:
        types = request.headers.getall(hdrs.CONTENT_TYPE, [])
        if len(types) != 1 or not is_json(types[0]):
            raise WrongMediaType(f"{what} must be of content type application/json")
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    if awaits_continue(request):
        request[_CONTINUED] = True
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The answer proper has not begun: aiohttp counts what was written to tell.
        request.writer.output_size = 0
    try:
        async with asyncio.timeout(timeout_s):
            data = await _read(request, limit)
    except TimeoutError as error:
        raise InvalidBody(f"The body did not arrive within {timeout_s:g} s.") from error
    except web.RequestPayloadError as error:
        raise InvalidBody("The body's framing is broken.") from error
    return _inflate(data, limit) if is_gzip else data


async def _read(request: web.Request, limit: int) -> bytes:
    data = bytearray()
    async for piece in request.content.iter_any():
        data += piece
        if len(data) > limit:
            raise _too_large(limit)
    return bytes(data)


def _coding(request: web.Request) -> bool:
    """Tell whether the body is gzip; raises :class:`WrongMediaType` for any other coding."""
    codings = [value.strip().lower() for value in request.headers.getall(hdrs.CONTENT_ENCODING, [])]
    if codings in ([], ["identity"]):
        return False
    if codings in (["gzip"], ["x-gzip"]):
        return True
    raise WrongMediaType("Bodies may be of content encoding gzip, or of none")


def _inflate(data: bytes, limit: int) -> bytes:
    """Return the inflated body; a bomb is stopped one byte after the limit."""
    inflater = zlib.decompressobj(_GZIP)
    try:
        inflated = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise InvalidBody("The body is not gzip, as its content encoding says.") from error
    if len(inflated) > limit:
        raise _too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise InvalidBody("The gzip body is cut short, or something follows it.")
    return inflated


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {limit} bytes.")
