"""What a configuration names outside of itself: files, their owners, and the keyring's command."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from configured import MINIMAL, Load, only
from processes import wait_for_ends, watch

from signals_proxy import config
from signals_proxy.config import KeyringText, Sources, sources
from signals_proxy.config.sources import MAX_SECRET, exposure
from signals_proxy.errors import ConfigError
from signals_proxy.secret import Secret

SECRET = "registry: {credentials: {api_key_file: secret}}\n"
FOREIGN = "belongs to another user"


def commanded(*command: str) -> str:
    """Return a configuration whose keyring a command prints."""
    return MINIMAL.replace("file: keyring", f"command: {json.dumps(command)}")


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "mode", "told"),
        [
            (b"hunter2", 0o640, "may be used by others (mode 0640) | chmod 600 it;"),
            (b"hunter2", 0o601, "may be used by others (mode 0601) | chmod 600 it;"),
            (b"\n", 0o600, "empty | it has to hold the secret"),
            (b"\xff", 0o600, "not a text file | save it as UTF-8"),
            (b"h" * (MAX_SECRET + 1), 0o600, "too large for a secret | check the path"),
            (b"h" * (sources.MAX_FILE + 1), 0o600, "too large | check the path"),
            (None, 0, "cannot be read: no such file or directory | check the path"),
        ],
    )
    def test_unusable(
        self, load: Load, tmp_path: Path, content: bytes | None, mode: int, told: str
    ) -> None:
        """A secret's file that others may use, or that holds no text, is refused with a remedy."""
        for name, place, text in (
            ("secret", "7: registry.credentials.api_key_file", MINIMAL + SECRET),
            ("ring", "4: keyring.file", MINIMAL.replace("file: keyring", "file: ring")),
        ):
            file = tmp_path / name
            if content is not None:
                file.write_bytes(content)
                file.chmod(mode)
            assert f"{place}: {file}: {told}" == only(load, text)[: len(f"{place}: {file}: {told}")]

    def test_missing_keyring(self, load: Load) -> None:
        """A keyring that is not there is told with the command that makes one."""
        told = only(load, MINIMAL.replace("file: keyring", "file: none"))
        assert told.endswith("| check the path, or make one with 'signals-proxy keys generate'")

    def test_links(self, load: Load, tmp_path: Path) -> None:
        """Mounted secrets are links: they are followed, and the file that they lead to counts."""
        (tmp_path / "link").symlink_to("keyring")
        text = MINIMAL.replace("file: keyring", "file: link")
        assert load(text).keyring.text == load(MINIMAL).keyring.text
        (tmp_path / "keyring").chmod(0o644)
        assert "may be used by others (mode 0644)" in only(load, text)

    def test_owners(self) -> None:
        """A secret belongs to the user of this program, or to root."""
        private = stat.S_IFREG | 0o600
        assert exposure(private, 1000, 1000) == exposure(private, 0, 1000) == ("", "")
        assert exposure(private, 1001, 1000)[0] == exposure(private, 1000, 0)[0] == FOREIGN

    @pytest.mark.parametrize("name", ["proxy.yaml", "keyring"])
    def test_no_regular_file(self, load: Load, tmp_path: Path, name: str) -> None:
        """A pipe is not read, nor waited for."""
        load(MINIMAL)
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name, 0o600)
        with pytest.raises(ConfigError, match="not a regular file"):
            config.load(tmp_path / "proxy.yaml", {})

    def test_unusable_authorities(self, load: Load, tmp_path: Path) -> None:
        """A file of authorities that is not there is told with its setting."""
        text = MINIMAL.replace("http:", "https:")
        told = only(load, text.replace("keyring:", "  ca_certificates: ca.pem\nkeyring:", 1))
        reason = "cannot be read: no such file or directory | check the path and its rights"
        assert told == f"3: upstream.ca_certificates: {tmp_path}/ca.pem: {reason}"

    def test_a_record_replaces_all(self, load: Load, tmp_path: Path) -> None:
        """With its record the same settings load again, whatever became of the files."""
        (tmp_path / "secret").touch(0o600)
        (tmp_path / "secret").write_text("hunter2")
        (tmp_path / "count").touch()
        once = commanded("sh", "-c", "echo x >> count; cat keyring")
        settings = load(once + SECRET)
        first = Sources()
        assert config.load(settings.file, {}, first) == settings
        for file in ("proxy.yaml", "secret", "keyring"):
            (tmp_path / file).unlink()
        assert config.load(settings.file, {}, Sources(first.record())) == settings
        assert (tmp_path / "count").read_text() == "x\n" * 2


class TestCommand:
    def test_prints_the_keyring(self, load: Load, tmp_path: Path) -> None:
        """What the command prints is the keyring; it runs in the configuration's own folder."""
        expected = KeyringText(Secret((tmp_path / "keyring").read_text()), None)
        assert expected == load(commanded("cat", "keyring")).keyring

    @pytest.mark.parametrize(
        ("command", "told"),
        [
            (
                ["no-such-program", "hunter2"],
                "the program cannot be run: no such file or directory",
            ),
            (["cat", "hunter2\0"], "the program cannot be run: a character that may not stand"),
            (["sh", "-c", "echo hunter2; exit 3"], "the command fails with status 3"),
            (["sh", "-c", "echo hunter2; kill -9 $$"], "the command was ended by signal 9"),
            (["true"], "the command prints nothing"),
            (["printf", "\\377hunter2"], "the command prints no text in UTF-8"),
            (["yes", "hunter2"], "the command prints more than 64 KiB"),
        ],
    )
    def test_fails(self, load: Load, command: list[str], told: str) -> None:
        """Whatever goes wrong is told with the setting, and quotes neither command nor output."""
        found = only(load, commanded(*command))
        assert f"4: keyring.command: {told}" == found[: len(f"4: keyring.command: {told}")]
        assert found.partition(" | ")[2]
        assert "hunter2" not in found

    def test_one_of_two(self, load: Load) -> None:
        """File and command at once are a contradiction; neither is one, too."""
        expected = "3: keyring: must be one of: file, command | "
        assert expected == only(load, MINIMAL.replace("file:", "command: [cat]\n  file:"))
        assert expected == only(load, MINIMAL.replace("file: keyring", "file: null"))

    def test_is_not_run_beside_other_errors(self, load: Load, tmp_path: Path) -> None:
        """A configuration that is wrong anyway starts nothing."""
        only(load, commanded("touch", "ran") + "workers: 0\n")
        assert not (tmp_path / "ran").exists()

    def test_takes_too_long(self, load: Load, tmp_path: Path) -> None:
        """A command that does not end is killed, with what it has started."""
        os.mkfifo(tmp_path / "begun")
        file = load(MINIMAL).file
        file.write_text(commanded("sh", "-c", "sleep 600 & echo $$ $! > begun; wait"))
        with ThreadPoolExecutor() as other:
            loading = other.submit(config.load, file, {}, Sources(command_s=1))
            watched = watch(map(int, (tmp_path / "begun").read_text().split()))
            with pytest.raises(ConfigError, match=r"keyring.command: the command takes over 1 s$"):
                loading.result()
        wait_for_ends(watched)

    def test_aborted(self, load: Load, tmp_path: Path) -> None:
        """A command that runs ends when it is no longer wanted, and none begins then."""
        os.mkfifo(tmp_path / "begun")
        file = load(MINIMAL).file
        file.write_text(commanded("sh", "-c", "echo $$ > begun; sleep 600"))
        reading = Sources()
        with ThreadPoolExecutor() as other:
            loading = other.submit(config.load, file, {}, reading)
            watched = watch([int((tmp_path / "begun").read_text())])
            reading.abort()
            wait_for_ends(watched)
            with pytest.raises(ConfigError, match="was ended by us"):
                loading.result()
        with pytest.raises(ConfigError, match="was ended by us"):
            config.load(file, {}, reading)
