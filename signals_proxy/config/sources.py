"""What a configuration is made of: its own text, and what it names outside of it.

Rules of the file:

- Each source is read once and recorded. Whoever has the record loads the same settings again,
  whatever has become of the files since: a program that serves never goes by half an edit.
- A secret's file has to be its owner's alone: the opened one, so links may lead to it.
- Everything has a limit of size, and the command one of time.
- No message quotes what was read, nor the command, for an argument may be a secret.
"""

import contextlib
import json
import os
import select
import signal
import stat
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from signals_proxy.errors import ConfigError

__all__ = ["Sources", "exposure"]

MAX_FILE: Final = 4 * 1024 * 1024
"""Bytes of a file; the authorities of a whole operating system are an eighth of it."""

MAX_SECRET: Final = 64 * 1024
"""Bytes of a secret, and of what the command prints: a keyring of a thousand keys."""

COMMAND_S: Final = 30.0
"""Time within which the command has to print and to end."""

_NOT_TEXT: Final = "save it as UTF-8 (some shells write UTF-16), or check the path"


class _Source(NamedTuple):
    """What was read. ``exposed`` says why it is not its owner's alone, and ``remedy`` what to do."""

    text: str
    exposed: str = ""
    remedy: str = ""


class Sources:
    """Reads what a configuration names, or repeats what a ``record`` says that it read."""

    def __init__(self, record: bytes = b"{}", *, command_s: float = COMMAND_S) -> None:
        self._read = {name: _Source(*parts) for name, parts in json.loads(record).items()}
        self._running: subprocess.Popen[bytes] | None = None
        self._aborted = False
        self._command_s = command_s

    def record(self) -> bytes:
        """Return all that was read. It holds secrets: it is to be passed through pipes alone."""
        return json.dumps(self._read).encode()

    def is_private(self, file: Path) -> bool:
        """Tell whether nobody but its owner, who is this user or root, may use a file."""
        return not self._file(file).exposed

    def text(self, file: Path) -> str:
        """Return the text of a file.

        :raises ConfigError: if it cannot be read, is no regular file, too large or not UTF-8.
        """
        return self._file(file).text

    def secret(self, file: Path) -> str:
        """Return the text of a file that holds a secret.

        :raises ConfigError: as :meth:`text`, and if it is not private, or empty.
        """
        found = self._file(file)
        if found.exposed:
            raise ConfigError(found.exposed, remedy=found.remedy, file=file)
        if len(found.text) > MAX_SECRET:
            raise ConfigError("too large for a secret", remedy="check the path", file=file)
        if not found.text.strip():
            raise ConfigError("empty", remedy="it has to hold the secret", file=file)
        return found.text

    def output(self, command: Sequence[str], folder: Path) -> str:
        """Return what a command prints that is run, without a shell, in ``folder``.

        What it says on standard error goes to ours.

        :raises ConfigError: if it cannot be run, fails, takes too long (then it and its children
            are killed), or prints nothing, more than 64 KiB or no text.
        """
        name = json.dumps(command)
        if name not in self._read:
            self._read[name] = _Source(self._run(command, folder))
        return self._read[name].text

    def abort(self) -> None:
        """Kill the command, if one runs, and let none begin: called from another thread."""
        self._aborted = True
        if self._running is not None:
            _kill(self._running)

    def _file(self, file: Path) -> _Source:
        name = str(file)
        if name not in self._read:
            self._read[name] = _opened(file)
        return self._read[name]

    def _run(self, command: Sequence[str], folder: Path) -> str:
        try:
            process = subprocess.Popen(  # noqa: S603  the operator's own, and no shell
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,  # a group of its own, to be killed as one
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the program cannot be run: {_reason(error)}",
                remedy="command is a list, the program first, then its arguments; no shell reads it",
            ) from None  # the cause may quote an argument
        self._running = process
        with process:
            problem, data = ("", b"") if self._aborted else _printed(process, self._command_s)
            if self._aborted:
                problem = "was ended by us"
            if problem:
                _kill(process)
                raise ConfigError(
                    f"the command {problem}", remedy="run it by hand, as the user of this program"
                )
        text = _decoded(data)
        if text is None or not text.strip():
            raise ConfigError(
                "the command prints " + ("no text in UTF-8" if text is None else "nothing"),
                remedy="it has to print the keyring, as it is, on standard output",
            )
        return text


def exposure(mode: int, owner: int, user: int) -> tuple[str, str]:
    """Return why a file is not private to ``user``, and the remedy; empty texts if it is."""
    if owner not in {0, user}:
        return "belongs to another user", "chown it to the user of this program"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return (
            f"may be used by others (mode {stat.S_IMODE(mode):04o})",
            "chmod 600 it; for a secret mounted by Kubernetes set defaultMode: 0400",
        )
    return "", ""


def _opened(file: Path) -> _Source:
    try:
        # O_NONBLOCK: opening a named pipe would wait for a writer.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            found = os.fstat(descriptor)
            regular = stat.S_ISREG(found.st_mode)
            data = opened.read(MAX_FILE + 1) if regular else b""
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {_reason(error)}", file=file) from error
    if not regular:
        raise ConfigError("not a regular file", remedy="check the path", file=file)
    if len(data) > MAX_FILE:
        raise ConfigError("too large", remedy="check the path: is it another file?", file=file)
    text = _decoded(data)
    if text is None:
        raise ConfigError("not a text file", remedy=_NOT_TEXT, file=file)
    return _Source(text, *exposure(found.st_mode, found.st_uid, os.geteuid()))


def _printed(process: subprocess.Popen[bytes], limit_s: float) -> tuple[str, bytes]:
    """Return why a command did not do its part, or nothing, and what it printed."""
    assert process.stdout is not None  # noqa: S101
    late, data = f"takes over {limit_s:g} s", b""
    end = time.monotonic() + limit_s
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    while len(data) <= MAX_SECRET:
        if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
            return late, b""
        piece = os.read(process.stdout.fileno(), MAX_SECRET)
        if not piece:
            break
        data += piece
    else:
        return f"prints more than {MAX_SECRET >> 10} KiB", b""
    try:
        status = process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return late, b""
    if status < 0:
        return f"was ended by signal {-status}", b""
    return (f"fails with status {status}", b"") if status else ("", data)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:  # not reaped, so nobody else has the group's number
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _decoded(data: bytes) -> str | None:
    # None in place of the exception, which holds the bytes.
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _reason(error: OSError | ValueError) -> str:
    told = error.strerror if isinstance(error, OSError) else "a character that may not stand there"
    return (told or "unknown error").lower()
