"""The README's own commands, run as they stand there, but for the ports and folders."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from canary import Canary
from processes import descendants, free_ports, wait_for_ends, watch

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [re.sub(r"\s+#.*", "", line) for line in "\n".join(BLOCKS).splitlines()]


def only(beginning: str) -> str:
    """Return the one command that begins so, with the lines that belong to it."""
    text = "\n".join(COMMANDS)
    (found,) = re.findall(rf"^{re.escape(beginning)}(?:[^'\n]|'[^']*')*", text, re.MULTILINE)
    return str(found)


@contextmanager
def running(command: str, folder: Path, line: str) -> Iterator[None]:
    """Run a command until it says a line that begins so, and end it by Ctrl-C afterwards."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    outer = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=folder,
        env={**outer, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said = []
        for each in process.stdout:
            said.append(each)
            if line in each:
                break
        else:
            pytest.fail("".join(said))
        ends = watch(descendants(process.pid))
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.stdout.read()
        wait_for_ends(ends)


def run(command: str, folder: Path) -> str:
    """Run a command to its end, and return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_is_here() -> None:
    """No command stands in the README that this file does not run."""
    known = ("make run", "curl", "signals-proxy", "SIGNALS_PROXY_URL=", "  ")
    assert [line for line in COMMANDS if line and not line.startswith(known)] == []
    begins = r"^(?:make|curl|signals-proxy|SIGNALS_PROXY_URL=\S+ signals-proxy) "
    assert len(re.findall(begins, "\n".join(COMMANDS), re.MULTILINE)) == 13
    assert set(re.findall(r"`(make [a-z-]+)`", README)) == {"make test", "make help"}


def test_the_first_five_minutes(tmp_path: Path, elasticsearch: str) -> None:
    """`make run`, the five lines to try, and `make run` in front of a cluster that exists."""
    proxy, node, health = free_ports(3)
    ours = f"LISTEN=127.0.0.1:{proxy} HEALTH=127.0.0.1:{health} DATA={tmp_path}/data"

    def there(command: str) -> str:
        return command.replace(":9201", f":{proxy}").replace(":9200", f":{node}")

    with running(f"make run {ours} NODE_PORT={node}", PROJECT, "Ctrl-C ends it"):
        put, get, sent, search, indices = (
            run(f"{there(only(beginning))} --silent", tmp_path)
            for beginning in (
                "curl -X PUT localhost:9201/_signals/account/email/default",
                "curl localhost:9201/_signals/account/email/default",
                "curl -X POST localhost:9201/_signals/account/email/default/_send",
                "curl localhost:9200/.signals_accounts/_search",
                "curl localhost:9201/_cat/indices",
            )
        )
    assert json.loads(put)["result"] == "created"
    account = json.loads(get)
    assert account["integrity"] == "verified"
    assert account["_source"]["password"] == "::es_redacted::"
    assert json.loads(sent)["answer"] == {"simulated": True}
    assert "secret" not in json.loads(search)["hits"]["hits"][0]["_source"].values()
    assert indices == ""  # the registry's index is hidden, and there is no other

    command = only("make run UPSTREAM=")
    assert re.findall(r"([A-Z]+)=", command) == ["UPSTREAM", "LISTEN", "DATA"]
    existing = command.split(" UPSTREAM=")[0] + f" UPSTREAM={elasticsearch} {ours}2"
    with running(existing, PROJECT, "Ctrl-C ends it"):
        assert run(f"curl --silent localhost:{proxy}/", tmp_path).startswith("{")


def test_production(tmp_path: Path, elasticsearch: str, canary: Canary) -> None:
    """A keyring is made, the example of a configuration serves with it, and is read again; an account
    file is sealed and applied."""
    run(only("signals-proxy keys generate"), tmp_path)
    proxy, health = free_ports(2)
    example = (PROJECT / "config.example.yaml").read_text()
    for theirs, ours in (
        ("127.0.0.1:9201", f"127.0.0.1:{proxy}"),
        ("127.0.0.1:9203", f"127.0.0.1:{health}"),
        ("http://127.0.0.1:9200", elasticsearch),
    ):
        example = example.replace(theirs, ours)
    (tmp_path / "config.yaml").write_text(example)
    file = tmp_path / "accounts" / "email.yaml"
    file.parent.mkdir()
    secret = canary("password")
    file.write_text(
        f"type: email\n_name: readme\nhost: a.example\nport: 465\nuser: u\npassword: {secret}\n"
    )
    with running(only("signals-proxy serve"), tmp_path, "event=ready"):
        assert run(f"curl --silent localhost:{proxy}/", tmp_path).startswith("{")
        run(only("signals-proxy reload"), tmp_path)
        run(
            only("curl localhost:9201/_signals/account/_key").replace(":9201", f":{proxy}"),
            tmp_path,
        )
        run(only("signals-proxy seal"), tmp_path)
        assert secret not in file.read_text()
        command = only("SIGNALS_PROXY_URL=").replace(":9201", f":{proxy}")
        assert run(command, tmp_path).endswith("1 created, 0 updated, 0 unchanged\n")
