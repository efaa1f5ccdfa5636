"""``signals-proxy run``: one command, as a person meets it, with real children."""

import json
import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import mirror
import pytest
from processes import LIMIT_S, descendants, free_ports, wait_for_ends, watch

ENDS_WITHIN_S = 10
"""What the command promises."""


pytestmark = pytest.mark.usefixtures("prepared")


class Run:
    """The command as it runs, in a process group of its own, as a shell would start it."""

    def __init__(
        self, folder: Path, *options: str, environ: Mapping[str, str] | None = None, **streams: int
    ) -> None:
        self.listen, self.health, self.node = free_ports(3)
        given = {
            "--data": str(folder),
            "--listen": f"127.0.0.1:{self.listen}",
            "--health": f"127.0.0.1:{self.health}",
            "--node-port": str(self.node),
        }
        given |= dict(zip(options[::2], options[1::2], strict=True))
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "signals_proxy", "run"),
                *(word for option in given.items() for word in option),
            ],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
            text=True,
            start_new_session=True,
            env={**os.environ, **(environ or {})},
        )
        self.said: list[str] = []

    def until(self, beginning: str) -> list[str]:
        """Read what it says until a line begins so, and return the lines."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            if line.startswith(beginning):
                return self.said
        pytest.fail(f"it said {self.said} and: {self.end()}")

    def interrupt(self) -> None:
        """Press Ctrl-C: every process of the group gets the signal."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Wait for its end, and return the exit status and what it said on standard error."""
        _, errors = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, errors or ""

    def fails(self) -> tuple[str, str]:
        """Wait for its end with status 2, and return the error and the hint: a sentence each."""
        status, said = self.end()
        lines = said.splitlines()
        assert (status, len(lines)) == (2, 2), said
        error, hint = lines
        assert error.startswith("signals-proxy: error: ")
        assert hint.startswith("signals-proxy: hint: ")
        return error.removeprefix("signals-proxy: error: "), hint


@contextmanager
def running(folder: Path, *options: str, **more: Mapping[str, str]) -> Iterator[Run]:
    """Start the command, wait until it is ready, and see to it that nothing is left at the end."""
    run = Run(folder, *options, **more)
    try:
        run.until("Ctrl-C ends it")
        children = watch(descendants(run.process.pid))
        yield run
        wait_for_ends(children)
    finally:
        run.process.kill()
        run.end()


def curl(line: str) -> str:
    """Do what a printed line would do, and return the answer."""
    words = iter(shlex.split(line)[1:])
    method, fields, body, url = None, {}, None, ""
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                fields[name] = value
            case "-d":
                body = next(words).encode()
            case _:
                url = word
    request = urllib.request.Request(url, body, fields, method=method)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        text: str = answer.read().decode()
    return text


def test_first_and_second_start(tmp_path: Path) -> None:
    """The printed lines work, Ctrl-C ends everything, and a second start finds the account."""
    folder = tmp_path / "data"
    with running(folder) as run:
        put, get, search, indices = (line for line in run.said if line.startswith("  curl"))
        assert json.loads(curl(put))["result"] == "created"
        account = json.loads(curl(get))
        assert account["integrity"] == "verified"
        assert account["_source"]["password"] == "::es_redacted::"
        stored = json.loads(curl(search))["hits"]["hits"][0]["_source"]
        assert stored["_sealed"]["secrets"] == ["password"]
        assert ".signals_accounts" in curl(indices)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "keyring").stat().st_mode & 0o777 == 0o600
        keyring = (folder / "keyring").read_text()

        error, _ = Run(folder).fails()
        assert (
            error
            == f"the data folder {folder} is in use by another run (process {run.process.pid})"
        )

        run.interrupt()
        assert run.end() == (0, "signals-proxy: stopping\n")
    with running(folder) as run:
        assert (folder / "keyring").read_text() == keyring
        again = json.loads(curl(next(line for line in run.said if line.endswith("?pretty'"))))
        assert again == {**account, "_version": 1}
        run.process.terminate()
        assert run.end() == (0, "signals-proxy: stopping\n")


def test_interrupted_and_killed(tmp_path: Path) -> None:
    """However a run ends, its children end as well, and the next start is as any other."""
    run = Run(tmp_path)
    run.until("starting Elasticsearch")
    children = watch(descendants(run.process.pid))
    run.interrupt()
    assert run.end() == (130, "signals-proxy: stopping\n")
    wait_for_ends(children)
    with running(tmp_path) as run:
        run.process.kill()
    with running(tmp_path) as run:
        run.interrupt()
        assert run.end()[0] == 0


def test_make_is_killed(tmp_path: Path, elasticsearch: str) -> None:
    """Under make, the command does not outlive it."""
    listen, health = free_ports(2)
    words = [sys.executable, "-P", "-m", "signals_proxy", "run", "--upstream", elasticsearch]
    words += ["--data", str(tmp_path), "--listen", f"127.0.0.1:{listen}"]
    words += ["--health", f"127.0.0.1:{health}"]
    with subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MAKELEVEL": "1"},
        text=True,
    ) as make:
        assert make.stdout is not None
        assert any(line.startswith("Ctrl-C ends it") for line in make.stdout)
        children = watch(descendants(make.pid))
        make.kill()
        wait_for_ends(children)


def kill(run: Run, program: str) -> None:
    """Kill the child of a run whose command line holds this word."""
    [found] = [
        process
        for process in descendants(run.process.pid)
        if program.encode() in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    ]
    os.kill(found, signal.SIGKILL)


def test_node_is_killed(tmp_path: Path) -> None:
    """When the node ends by itself, everything ends, and the sentence says so."""
    with running(tmp_path) as run:
        kill(run, "signals_proxy.embedded.jvm")
        error, hint = run.fails()
    assert error == "elasticsearch ended by itself (SIGKILL), so everything was stopped"
    assert f"its log may say why: {tmp_path}/node/logs/node.log" in hint


def test_proxy_is_killed(tmp_path: Path, elasticsearch: str) -> None:
    """When the proxy ends by itself, everything ends, and the sentence says so."""
    with running(tmp_path, "--upstream", elasticsearch) as run:
        kill(run, "serve")
        error, hint = run.fails()
    assert error == "the proxy ended by itself (SIGKILL), so everything was stopped"
    assert f"its log may say why: {tmp_path}/proxy.log" in hint


@pytest.mark.parametrize("option", ["--listen", "--health", "--node-port"])
def test_port_is_taken(tmp_path: Path, option: str) -> None:
    """An address that somebody else has is told before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        value = str(port) if option == "--node-port" else f"127.0.0.1:{port}"
        error, hint = Run(tmp_path, option, value).fails()
    assert error == f"127.0.0.1:{port} cannot be listened on: Address already in use"
    assert {"--listen": "LISTEN=", "--health": "HEALTH=", "--node-port": "NODE_PORT="}[
        option
    ] in hint
    assert [path.name for path in tmp_path.iterdir()] == ["signals-proxy.run"]


def test_no_address(tmp_path: Path) -> None:
    """An address that is none is told, with what one looks like."""
    error, _ = Run(tmp_path, "--listen", "9201").fails()
    assert error == "invalid value for '--listen': '9201' is no address such as 127.0.0.1:9201"


def test_foreign_folder(tmp_path: Path) -> None:
    """A folder with anything else in it is refused and left as it is."""
    (tmp_path / "thesis.txt").write_text("all of it")
    error, hint = Run(tmp_path).fails()
    assert error == f"{tmp_path} is no data folder of signals-proxy: it holds thesis.txt"
    assert "name another folder: make run DATA=" in hint
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_unwritable_folder(tmp_path: Path) -> None:
    """A folder that cannot be made is told."""
    (tmp_path / "file").write_text("")
    error, _ = Run(tmp_path / "file" / "data").fails()
    assert error == f"{tmp_path}/file/data cannot be written: Not a directory"


def test_proxy_does_not_start(tmp_path: Path, elasticsearch: str) -> None:
    """What the proxy says before it ends is what the command says."""
    (tmp_path / "signals-proxy.run").touch()
    (tmp_path / "keyring").touch(0o600)
    error, hint = Run(tmp_path, "--upstream", elasticsearch).fails()
    assert str(tmp_path / "keyring") in error
    assert f"(its log: {tmp_path}/proxy.log)" in hint


def test_no_network(tmp_path: Path) -> None:
    """Without a network, a first start ends with a sentence."""
    environ = mirror.offline(tmp_path / "home") | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    error, hint = Run(tmp_path / "data", environ=environ).fails()
    assert error == "the jars of the embedded node cannot be downloaded (ProxyError)"
    assert "check the network" in hint


def test_interrupted_download(tmp_path: Path) -> None:
    """Ctrl-C while a registry keeps silent ends the command at once."""
    environ = mirror.offline(tmp_path / "home")
    place = mirror.linked_cache(tmp_path / "cache")
    jar = (place / mirror.SMALL).read_bytes()
    (place / mirror.SMALL).unlink()
    asked, silent = threading.Event(), threading.Event()

    def keep_silent(_: BaseHTTPRequestHandler) -> None:
        asked.set()
        silent.wait(LIMIT_S)

    environ |= {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with mirror.mirror(tmp_path / "home", keep_silent):
        run = Run(tmp_path / "data", environ=environ)
        run.until("downloading Elasticsearch")
        assert asked.wait(LIMIT_S)
        run.interrupt()
        _, errors = run.process.communicate(timeout=ENDS_WITHIN_S)
        silent.set()
    assert (run.process.returncode, errors) == (130, "signals-proxy: stopping\n")
    with (
        mirror.mirror(tmp_path / "home", mirror.file(jar)),
        running(tmp_path / "data", environ=environ) as run,
    ):
        run.interrupt()
        run.end()
    assert {place.name, "lock"} == {path.name for path in place.parent.iterdir()}


def _read_to_the_end(terminal: int) -> None:
    with suppress(OSError):  # that is how a terminal ends
        while os.read(terminal, 4096):
            pass


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal, a bar shows how far a download is."""
    environ = mirror.offline(tmp_path / "home")
    place = mirror.linked_cache(tmp_path / "cache")
    jar = (place / mirror.SMALL).read_bytes()
    (place / mirror.SMALL).unlink()
    environ |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TERM": "xterm", "COLUMNS": "80"}
    ours, theirs = pty.openpty()
    with mirror.mirror(tmp_path / "home", mirror.file(jar)):
        run = Run(tmp_path / "data", environ=environ, stdout=theirs)
        os.close(theirs)
        said = b""
        while b"starting Elasticsearch" not in said:
            said += os.read(ours, 4096)
        run.interrupt()
        # A terminal that nobody reads would hold up whoever writes to it.
        with ThreadPoolExecutor() as reader:
            rest = reader.submit(_read_to_the_end, ours)
            assert run.end()[0] == 130
            rest.result()
    os.close(ours)
    assert b"downloading Elasticsearch" in said
    assert "━".encode() in said
    assert b"45.7/45.7 MB" in said


def test_cluster_that_exists(tmp_path: Path, elasticsearch: str) -> None:
    """With a cluster named, no node is started; a node of it that is silent is told."""
    [port] = free_ports(1)
    silent = f"http://127.0.0.1:{port}"
    with running(tmp_path, "--upstream", f"{elasticsearch}/, {silent}") as run:
        indices = next(line for line in run.said if "_cat/indices" in line)
        assert "health status index" in curl(indices)
        assert not (tmp_path / "node").exists()
        run.interrupt()
        hint = f"signals-proxy: hint: {silent} does not answer: Connection refused"
        assert run.end() == (0, f"{hint}\nsignals-proxy: stopping\n")


def test_cluster_that_does_not_answer(tmp_path: Path) -> None:
    """A cluster of which no node answers is told, with the reason of each."""
    [port] = free_ports(1)
    error, hint = Run(tmp_path, "--upstream", f"http://127.0.0.1:{port}").fails()
    assert error == f"no node of the cluster answers (http://127.0.0.1:{port}: Connection refused)"
    assert "correct UPSTREAM=" in hint


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1:9200", "http://:9200", "http://h:port", "http://'a'"]
)
def test_no_url(tmp_path: Path, url: str) -> None:
    """What is no URL of a node is told as such."""
    error, _ = Run(tmp_path, "--upstream", url).fails()
    assert url in error
