"""``signals-proxy seal``: the secrets of an account file as one sealed text, offline.

Rules of the file:

- Nothing is written that was not read again and found to say what it has to. What cannot be cut out
  of a YAML file for certain is refused.
- A file is replaced whole or not at all, and no copy of it in clear is ever written.
"""

import contextlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from signals_proxy.account import schema
from signals_proxy.account.account_type import SEALED_TEXT
from signals_proxy.account.body import Json
from signals_proxy.account.file import PublicKey, SealedFile, seal_file
from signals_proxy.account.findings import texts
from signals_proxy.cli import account_file
from signals_proxy.cli.account_file import AccountFile
from signals_proxy.cli.voice import tell
from signals_proxy.config import InvalidSettings, Sources
from signals_proxy.config.document import compose
from signals_proxy.errors import ConfigError, InvalidAccount

__all__ = ["seal"]

_STDOUT: Final = Path("-")
_SHORTEST_SOUGHT: Final = 6


@click.command
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="KEYFILE",
    help="The registry's public key: what 'keys public' or GET /_signals/account/_key tells.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write there instead of into the file itself; - is standard output.",
)
def seal(file: Path, key_file: Path, output: Path | None) -> None:
    """Move all secrets of an account file into one sealed text, which only the registry opens.

    FILE holds one account, as JSON or YAML: its attributes, type and _name. No server is asked.
    Comments and everything else of a YAML file stay as they are.
    """
    key = _key(key_file)
    found = account_file.read(file)
    try:
        sealed = seal_file(found.source, schema.load(), key)
    except InvalidAccount as error:
        raise InvalidSettings(found.errors(error.details)) from None
    text = found.text if sealed is None else _sealed(found, sealed)
    if output == _STDOUT:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    elif sealed is not None or output is not None:
        _replace(Path(os.path.realpath(output or file)), text, like=file)
    if sealed is None:
        tell(f"{file}: nothing in clear to seal")
    else:
        names = ", ".join(sorted(sealed.secrets))
        tell(f"{file}: sealed {names} for the registry whose key is {key.fingerprint}")
        for line in _in_clear(text, [found.source[name] for name in sealed.secrets]):
            tell(f"warning: {file}: line {line} of the result holds one of these secrets in clear")


def _key(file: Path) -> PublicKey:
    text = Sources().text(file).strip()
    try:
        return PublicKey.parse(json.loads(text)["key"] if text.startswith("{") else text)
    except ConfigError as error:
        raise ConfigError(error.message, remedy=error.remedy, file=file) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(
            "holds no public key",
            remedy="save there what GET /_signals/account/_key answers",
            file=file,
        ) from None  # the cause quotes the file, which may be another one


def _in_clear(text: str, secrets: Sequence[Json]) -> Iterator[int]:
    """Yield the lines that still hold a secret, such as a comment with an attribute's old place."""
    # Shorter texts stand in many lines by chance.
    pieces = (piece for found in texts([*secrets]) for piece in found.splitlines())
    sought = [piece for piece in pieces if len(piece) >= _SHORTEST_SOUGHT]
    for number, line in enumerate(text.splitlines(), 1):
        if any(piece in line for piece in sought):
            yield number


# --- the new text --------------------------------------------------------------------------------


def _sealed(found: AccountFile, sealed: SealedFile) -> str:
    """Return the file's text with its secrets replaced by ``sealed``."""
    names = sealed.secrets
    expected = {
        (SEALED_TEXT if name in names else name): (sealed.text if name in names else value)
        for name, value in found.source.items()
    }
    if found.is_json:
        return json.dumps(expected, indent=2, ensure_ascii=False) + "\n"
    text = _cut(found, names, sealed.text)
    try:
        same = account_file.parse(found.path, text).source == expected
    except ConfigError:
        same = False
    if not same:
        raise _not_cut(found, found.lines[names[0]])
    return text


def _cut(found: AccountFile, names: Sequence[str], sealed: str) -> str:
    """Return a YAML text with the lines of ``names`` taken out, and the sealed text in their place."""
    text = found.text if found.text.endswith("\n") else found.text + "\n"
    top = compose(text, found.path)
    if not isinstance(top, MappingNode) or top.flow_style:
        raise _not_cut(found, 1)
    kept, at, key = [], 0, f"{SEALED_TEXT}: {sealed}\n"
    for key_node, value_node in top.value:
        if key_node.value not in names:
            continue
        begin = text.rfind("\n", 0, key_node.start_mark.index) + 1
        indentation = text[begin : key_node.start_mark.index]
        if indentation.strip(" "):
            raise _not_cut(found, key_node.start_mark.line + 1)
        kept += [text[at:begin], indentation + key if key else ""]
        at, key = _end(text, value_node), ""
    return "".join(kept) + text[at:]


def _end(text: str, node: Node) -> int:
    """Return where the line after the last one of a value begins.

    The mark at the end of a block is beyond the blank lines and comments that follow it.
    """
    if isinstance(node, CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(node, MappingNode) else last)
    if not (isinstance(node, ScalarNode) and node.style in {"|", ">"}):
        return text.index("\n", node.end_mark.index) + 1
    end = text.rfind("\n", 0, node.end_mark.index) + 1
    while not text[text.rfind("\n", 0, end - 1) + 1 : end].strip():
        end = text.rfind("\n", 0, end - 1) + 1
    return end


def _not_cut(found: AccountFile, line: int) -> ConfigError:
    return ConfigError(
        "the secrets cannot be cut out of this file for certain",
        remedy="write each attribute on lines of its own (name: value), without {…} around the"
        " account and without anchors",
        file=found.path,
        line=line,
    )


# --- writing -------------------------------------------------------------------------------------


def _replace(file: Path, text: str, *, like: Path) -> None:
    """Write a file whole or not at all, with its mode and owner, or with those of ``like`` if it is new."""
    try:
        before = (file if os.path.lexists(file) else like).stat()
        if not stat.S_ISREG(before.st_mode):  # a device or a pipe would be gone, not written to
            raise ConfigError(
                "not a regular file", remedy="--output - writes to standard output", file=file
            )
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
                opened.write(text)
                with contextlib.suppress(OSError):  # which root may do, and few others
                    os.fchown(opened.fileno(), before.st_uid, before.st_gid)
                os.fchmod(opened.fileno(), stat.S_IMODE(before.st_mode))
                opened.flush()
                os.fsync(opened.fileno())
            Path(name).replace(file)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigError(
            f"cannot be written: {reason}",
            remedy="choose a folder that exists and that you may write to",
            file=file,
        ) from error
