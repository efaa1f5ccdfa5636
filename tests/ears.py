"""Where the canary listens: hooks that show everything which passes to one function."""

import http.client
import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol

import aiohttp
import pytest


class See(Protocol):
    """Takes what was seen; more may be added to what it returns. See ``canary.Watch.see``."""

    def __call__(
        self, place: str, where: str, data: bytes | str, server: str | None = None
    ) -> bytearray: ...


@contextmanager
def all_logs(see: See) -> Iterator[None]:
    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            ordinary = logging.makeLogRecord({}).__dict__
            extra = {name: value for name, value in record.__dict__.items() if name not in ordinary}
            see("log", record.name, f"{self.format(record)} {extra or ''}")

    ear, root = Ear(), logging.getLogger()
    loggers = [it for it in root.manager.loggerDict.values() if isinstance(it, logging.Logger)]
    before = [(it, it.level, it.propagate, it.disabled) for it in [root, *loggers]]
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
        logger.propagate, logger.disabled = True, False
    root.setLevel(logging.DEBUG)
    root.addHandler(ear)
    try:
        yield
    finally:
        root.removeHandler(ear)
        for logger, level, propagate, disabled in before:
            logger.setLevel(level)
            logger.propagate, logger.disabled = propagate, disabled


@contextmanager
def all_output(see: See) -> Iterator[None]:
    def readouterr(original: Any, self: Any) -> Any:
        captured = original(self)
        for where, text in zip(("stdout", "stderr"), captured, strict=True):
            see("output", where, text)
        return captured

    def communicate(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        captured = original(self, *args, **kwargs)
        for where, text in zip(("stdout", "stderr"), captured, strict=True):
            see("output", f"{where} of {self.args!r:.80}", text or b"")
        return captured

    with (
        _wrapped(pytest.CaptureFixture, "readouterr", readouterr),
        _wrapped(subprocess.Popen, "communicate", communicate),
    ):
        yield


@contextmanager
def all_answers(see: See) -> Iterator[None]:
    async def read(original: Any, self: aiohttp.ClientResponse) -> bytes:
        data: bytes = await original(self)
        where = f"the body of {self.method} {self.url}"
        see("answer", where, data, self.url.authority)
        return data

    async def start(original: Any, self: aiohttp.ClientResponse, *args: Any) -> Any:
        response = await original(self, *args)
        where = f"the head of {self.method} {self.url}"
        see("answer", where, repr(self.raw_headers), self.url.authority)
        return response

    def read_part(original: Any, self: Any, *args: Any) -> bytes:
        if not hasattr(self, "canary_saw"):
            # The answer itself does not know whose it is, and forgets its socket when it ends.
            raw = getattr(self.fp, "raw", None)
            host, port = raw._sock.getpeername()[:2] if raw is not None else ("nobody", 0)
            where = f"an answer of {host}:{port} to http.client"
            self.canary_saw = see("answer", where, str(self.headers), f"{host}:{port}")
        data: bytes = original(self, *args)
        self.canary_saw += data
        return data

    with (
        _wrapped(aiohttp.ClientResponse, "read", read),
        _wrapped(aiohttp.ClientResponse, "start", start),
        _wrapped(http.client.HTTPResponse, "read", read_part),
    ):
        yield


@contextmanager
def _wrapped(owner: Any, name: str, wrapper: Callable[..., Any]) -> Iterator[None]:
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, original)
