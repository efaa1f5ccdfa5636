"""The jars: nothing is loaded, or kept, that is not what its checksum was taken of."""

from pathlib import Path

import mirror
import pytest
from mirror import SMALL

from signals_proxy import embedded
from signals_proxy.embedded import jars
from signals_proxy.errors import ConfigError

VERSION = embedded.VERSION


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, in which all jars lie."""
    place = mirror.linked_cache(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return place


@pytest.fixture
def offline(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001
    """The home of a user whose machine has had a network, and has none any more."""
    home = tmp_path / "home"
    for name, value in mirror.offline(home).items():
        monkeypatch.setenv(name, value)
    return home


def _replace(path: Path, content: bytes) -> None:
    path.unlink()  # it is a link: what it leads to stays as it is
    path.write_bytes(content)


def test_lists() -> None:
    """Both versions have a list, whose jars have names and checksums of their own."""
    assert jars.versions() == ("8.19.21", "9.5.3")
    for version in jars.versions():
        listed = jars.listed(version)
        assert (
            len(listed) == len({jar.name for jar in listed}) == len({jar.sha256 for jar in listed})
        )
        assert {64} == {len(jar.sha256) for jar in listed}


def test_list_is_reproducible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is written anew, from what the package registry has, is the one we have."""
    ours = Path(jars.__file__).parent / f"elasticsearch-{VERSION}.sha256"
    monkeypatch.setattr(jars, "_LISTS", tmp_path)
    assert jars.write_list(VERSION).read_text() == ours.read_text()


def test_unknown_version() -> None:
    """A version without a list is refused, with those that there are."""
    with pytest.raises(ConfigError) as caught:
        jars.fetch("1.2.3")
    assert caught.value.remedy == "choose one of 8.19.21, 9.5.3"


def test_verified(place: Path) -> None:
    """What was fetched is what the list says, and is fetched no second time."""
    assert place == jars.fetch(VERSION)
    assert {place} == {path.parent for path in jars.verify(VERSION)}


@pytest.mark.usefixtures("offline")
def test_second_start_offline(place: Path) -> None:
    """Once the jars are there, no network is needed."""
    assert place == jars.fetch(VERSION)


def test_tampered(place: Path) -> None:
    """A jar with one bit turned is refused."""
    content = bytearray((place / SMALL).read_bytes())
    content[100] ^= 1
    _replace(place / SMALL, bytes(content))
    with pytest.raises(ConfigError) as caught:
        jars.verify(VERSION)
    assert f"{SMALL} in {place} is not the file that its checksum was taken of" == str(caught.value)
    assert f"remove the folder {place}; the next start downloads it anew" == caught.value.remedy


def test_missing(place: Path) -> None:
    """A jar that is not there is named."""
    (place / SMALL).unlink()
    with pytest.raises(ConfigError, match=f"^{SMALL} is missing in {place}$"):
        jars.verify(VERSION)


def test_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder, jars are missing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="is missing in"):
        jars.verify(VERSION)


def test_unknown_jar(place: Path) -> None:
    """A file that the list does not name is refused, though no class path names it."""
    (place / "extra.jar").write_bytes(b"")
    with pytest.raises(ConfigError, match=f"^extra.jar in {place} is no part of the node$"):
        jars.verify(VERSION)


def test_node_refuses_tampered_jars(place: Path, tmp_path: Path) -> None:
    """A node does not start from jars of which one was tampered with, and loads none of them."""
    _replace(place / SMALL, b"not a jar")
    with pytest.raises(ConfigError, match=f"{SMALL} in .* is not the file"):
        embedded.start(VERSION, tmp_path / "home")
    assert not (tmp_path / "home" / "data").exists()


def test_interrupted_download(place: Path) -> None:
    """What an interrupted download left is cleared away, and only what is missing is fetched."""
    (place / SMALL).unlink()
    left = place.parent / ".arriving-killed"
    (left / "co").mkdir(parents=True)
    (left / "co" / "half.jar").write_bytes(b"half")
    told: list[tuple[int, int, str]] = []
    jars.fetch(VERSION, lambda arrived, total, name: told.append((arrived, total, name)))
    jars.verify(VERSION)
    assert {place.name, "lock"} == {path.name for path in place.parent.iterdir()}
    total = sum(jar.size for jar in jars.listed(VERSION))
    assert {SMALL, ""} == {name for _, _, name in told}
    assert (total - 18966, total, SMALL) == told[0]
    assert (total, total, "") == told[-1]


@pytest.mark.usefixtures("offline")
def test_no_network(place: Path) -> None:
    """Without a network, a first start ends with a sentence and leaves no half a jar behind."""
    (place / SMALL).unlink()
    with pytest.raises(ConfigError) as caught:
        jars.fetch(VERSION)
    assert str(caught.value) == "the jars of the embedded node cannot be downloaded (ProxyError)"
    assert "check the network" in caught.value.remedy
    assert {place.name, "lock"} == {path.name for path in place.parent.iterdir()}
    assert not (place / SMALL).exists()


def test_wrong_download(place: Path, offline: Path) -> None:
    """A mirror that gives another file is told, and the file is not kept."""
    (place / SMALL).unlink()
    with (
        mirror.mirror(offline, mirror.file(b"evil")),
        pytest.raises(ConfigError, match=f"^the download of {SMALL} is not the file"),
    ):
        jars.fetch(VERSION)
    assert not (place / SMALL).exists()


def test_download_cut_short(place: Path, offline: Path) -> None:
    """A download that ends too early is told as one that failed."""
    (place / SMALL).unlink()
    with (
        mirror.mirror(offline, mirror.file(b"half", length=18966)),
        pytest.raises(ConfigError, match="cannot be downloaded"),
    ):
        jars.fetch(VERSION)
    assert not (place / SMALL).exists()


def test_cache_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that cannot be written to is told, with what may be done."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError) as caught:
        jars.fetch(VERSION)
    assert str(caught.value).endswith(": Not a directory")
    assert caught.value.remedy == "make it writable, or set XDG_CACHE_HOME to a folder that is"


def test_cache_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache lies where the XDG rules put it; a relative path in the variable is ignored."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert tmp_path / ".cache" / "signals-proxy" == jars.cache()
