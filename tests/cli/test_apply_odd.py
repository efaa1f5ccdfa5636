"""``signals-proxy accounts apply`` where folders, names, servers or terminals are odd ones."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from played import Played
from registries import Cluster

Run = Callable[..., Awaitable[Any]]
EMAIL = {"type": "email", "_name": "a", "host": "smtp.example.com", "port": 465}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def write(folder: Path, **account: object) -> None:
    (folder / "a.json").write_text(json.dumps(account))


async def test_objects_as_secrets(apply: Run, files: Path, secret_value: str) -> None:
    """A secret in clear may be an object as well as a text."""
    oauth2 = {"token_url": "https://a.test", "client_id": "i", "client_secret": secret_value}
    write(files, **EMAIL, user="u", oauth2=oauth2)
    result = await apply()
    assert (result.returncode, result.stdout) == (
        0,
        "+ email/a\n    secrets: set (oauth2)\n1 created, 0 updated, 0 unchanged\n",
    )
    assert "warning: 1 of 1 files hold secrets in clear" in result.stderr


async def test_removed_secrets(apply: Run, files: Path, secret_value: str) -> None:
    """What null removes is told as removed, once; what the placeholder keeps is not told."""
    write(files, **EMAIL, user="u", password=secret_value)
    await apply()
    write(files, **EMAIL, user="u", password="::es_redacted::")
    assert (await apply()).stdout == "0 created, 0 updated, 1 unchanged\n"
    write(files, **EMAIL, user="u", password=None)
    for expected in (
        "~ email/a\n    secrets: removed (password)\n0 created, 1 updated, 0 unchanged\n",
        "0 created, 0 updated, 1 unchanged\n",
    ):
        assert (await apply()).stdout == expected


async def test_alias(apply: Run, files: Path, secret_value: str) -> None:
    """An attribute under its other name shows as what will be stored, not as its default."""
    account = {"type": "pagerduty", "_name": "a", "integration_key": secret_value}
    for url in ("https://a.test/", "https://b.test/"):
        write(files, **account, uri=url)
        result = await apply()
    assert result.stdout == (
        '~ pagerduty/a\n    url: "https://a.test/" → "https://b.test/"\n'
        "    secrets: set (integration_key)\n0 created, 1 updated, 0 unchanged\n"
    )


async def test_links_in_a_circle(run: Run, files: Path) -> None:
    """Links that lead nowhere are told with their names, be it a file's or the folder's."""
    (files / "a.yaml").symlink_to("b.yaml")
    (files / "b.yaml").symlink_to("a.yaml")
    for folder, named in ((files, files / "a.yaml"), (files / "a.yaml", files / "a.yaml")):
        result = await run("accounts", "apply", folder, SIGNALS_PROXY_URL="http://127.0.0.1:1")
        assert result.returncode == 2
        expected = f"error: {named}: cannot be read: too many levels of symbolic links\n"
        assert expected in result.stderr


async def test_line_breaks_in_names(run: Run, files: Path) -> None:
    """The name of a file cannot pass for a line of ours, nor move a terminal's cursor."""
    (files / "a\n::error::b\x1b[1m.yaml").write_text("a: [")
    result = await run("accounts", "apply", files, SIGNALS_PROXY_URL="http://127.0.0.1:1")
    assert result.returncode == 2
    assert result.stderr.startswith(
        rf"signals-proxy: error: {files}/a\n::error::b\x1b[1m.yaml:1: not YAML"
    )


@pytest.mark.parametrize("host", ["a..b", "a" * 64, ".a", "a\\b"])
async def test_hosts_that_cannot_be(run: Run, files: Path, host: str) -> None:
    write(files, **EMAIL)
    result = await run("accounts", "apply", files, SIGNALS_PROXY_URL=f"http://{host}:1")
    assert (result.returncode, result.stderr) == (
        2,
        "signals-proxy: error: SIGNALS_PROXY_URL is no URL such as https://proxy:9201\n",
    )


@pytest.mark.parametrize(
    "answer",
    [{"result": "created"}, {"result": "odd", "dry_run": True}, {"dry_run": True, "result": []}],
)
async def test_not_a_dry_run(run: Run, played: Played, files: Path, answer: Any) -> None:
    """An answer that does not say that it was a trial is not taken for one, and nothing follows."""
    write(files, **EMAIL)
    played.answer(b"GET /_signals/account/_key ", 200, b'{"key": "x"}')
    played.answer(b"GET /_signals/account/email/a ", 404, b'{"status": 404}')
    played.answer(b"PUT /_signals/account/email/a?", 200, json.dumps(answer).encode())
    result = await run("accounts", "apply", files, SIGNALS_PROXY_URL=played.url)
    assert (result.returncode, result.stdout) == (1, "")
    assert "error: " + played.url + " does not answer as one that only tried" in result.stderr
    assert sum(request.startswith(b"PUT ") for request in played.requests) == 1


async def test_characters_that_a_terminal_lacks(
    run: Run, proxy: str, files: Path, cluster: Cluster
) -> None:
    """What the encoding of standard output lacks is written in another way, and ends nothing."""
    for owner in ("a", "ф"):
        write(files, **EMAIL, owner=owner)
        result = await run(
            "accounts", "apply", files, SIGNALS_PROXY_URL=proxy, PYTHONIOENCODING="latin-1"
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert r'owner: "a" \u2192 "\u0444"' in result.stdout
    _, found = cluster.ask("GET", "/{index}/_doc/email%2Fa")
    assert found["_source"]["owner"] == "ф"


async def test_endless_details(run: Run, played: Played, files: Path) -> None:
    """Of what a server has against an account, no more is told than ours has ever to tell."""
    write(files, **EMAIL)
    detail = {"host": [{"error": "Wrong"}] * 5000}
    played.answer(b"GET /_signals/account/_key ", 200, b'{"key": "x"}')
    played.answer(b"GET /_signals/account/email/a ", 404, b'{"status": 404}')
    answer = json.dumps({"status": 400, "detail": detail}).encode()
    played.answer(b"PUT /_signals/account/email/a?", 400, answer)
    result = await run("accounts", "apply", files, SIGNALS_PROXY_URL=played.url)
    assert result.returncode == 2
    assert result.stderr.count(f"error: {files}/a.json:1: host: Wrong\n") == 101
