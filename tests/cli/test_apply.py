"""``signals-proxy accounts apply``: what it writes, what it says, and what it refuses to begin."""

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from applications import served
from played import Played
from registries import Cluster, Seal
from tls_servers import Identity

from signals_proxy.account.account_type import AccountType
from signals_proxy.account.file import PublicKey, seal_file
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.ref import Ref
from signals_proxy.registry.documents import Registry

Run = Callable[..., Awaitable[Any]]
EMAIL = {"type": "email", "host": "smtp.example.com", "port": 465}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def write(folder: Path, name: str, **attributes: object) -> None:
    account = {"_name": name, **EMAIL, **attributes}
    (folder / f"{name}.json").write_text(json.dumps(account, indent=1))


def versions(cluster: Cluster) -> dict[str, int]:
    """Return the versions of all accounts by their ids."""
    _, found = cluster.ask("GET", "/{index}/_search?size=1000&version=true&_source=false")
    return {hit["_id"]: hit["_version"] for hit in found["hits"]["hits"]}


async def test_many_files(
    apply: Run,
    files: Path,
    types: Mapping[str, AccountType],
    keyring: Keyring,
    cluster: Cluster,
) -> None:
    """A dry run writes nothing, not even an index; the second run of 250 sealed files neither."""
    for number in range(250):
        login = {"enable_tls": True, "user": "u", "password": f"hunter{number}"}
        account = {"_name": f"a{number}", **EMAIL, **login}
        sealed = seal_file(account, types, PublicKey.of(keyring))
        assert sealed is not None
        del account["password"]
        (files / f"a{number}.yaml").write_text(json.dumps({**account, "$sealed": sealed.text}))
    result = await apply("--dry-run")
    assert (result.returncode, result.stderr) == (3, "")
    assert result.stdout.startswith("+ email/a0\n    secrets: as sealed in the file\n+ email/a1\n")
    assert result.stdout.endswith("\n250 created, 0 updated, 0 unchanged\n")
    assert not cluster.exists()
    result = await apply()
    assert (result.returncode, result.stderr) == (0, "")
    written = {f"email/a{number}": 1 for number in range(250)}
    assert versions(cluster) == written
    for options in ((), ("--dry-run",)):
        result = await apply(*options)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == "0 created, 0 updated, 250 unchanged\n"
    assert versions(cluster) == written


async def test_difference(apply: Run, files: Path, canary: Callable[..., str]) -> None:
    """Each public attribute that changes is shown, old and new; of secrets only that they do."""
    write(files, "a", default_to="a@example.com", debug=True, description="x")
    write(files, "b", user="u", password=canary("password"))
    write(files, "c", _tenant="ops")
    assert (await apply()).returncode == 0
    write(files, "a", default_to=["a@example.com"], port=587, owner="ö")
    result = await apply("--dry-run")
    assert result.returncode == 3
    assert result.stdout == (
        "~ email/a\n    debug: true → false\n"
        '    description: "x" → (none)\n    owner: (none) → "ö"\n    port: 465 → 587\n'
        "~ email/b\n    secrets: set (password)\n"
        "0 created, 2 updated, 1 unchanged\n"
    )
    assert result.stderr == (
        "signals-proxy: warning: 1 of 3 files hold secrets in clear, and are written each time;"
        " 'signals-proxy seal' seals them\n"
        "signals-proxy: warning: email/b: password: travels in clear; set enable_start_tls or"
        " enable_tls\n"
    )


async def test_sealed_anew(
    apply: Run,
    files: Path,
    types: Mapping[str, AccountType],
    keyring: Keyring,
    secret_value: str,
) -> None:
    """A file that was sealed anew, and says the same otherwise, is a change of its secrets."""
    account = {"_name": "a", **EMAIL, "user": "u"}
    for _ in range(2):
        sealed = seal_file({**account, "password": secret_value}, types, PublicKey.of(keyring))
        assert sealed is not None
        write(files, "a", user="u", **{"$sealed": sealed.text})
        result = await apply()
    assert result.stdout == (
        "~ email/a\n    secrets: sealed anew\n0 created, 1 updated, 0 unchanged\n"
    )


async def test_broken_files(apply: Run, files: Path, cluster: Cluster, secret_value: str) -> None:
    """One broken file among others: nothing is applied, and every error is told with its place."""
    write(files, "good")
    write(files, "bad", port=0, passwrod=secret_value)
    result = await apply()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "signals-proxy: nothing was written\n"
        f"signals-proxy: error: {files}/bad.json:5: port: Invalid value; expected: An integer from"
        " 1 to 65535, without fraction and exponent\n"
        f"signals-proxy: error: {files}/bad.json:6: passwrod: Unknown attribute; did you mean"
        " 'password'?\n"
    )
    assert not cluster.exists()


async def test_broken_folder(apply: Run, files: Path, tmp_path: Path) -> None:
    """What no server has to be asked for is told at once, for all files."""
    result = await apply()
    assert (result.returncode, f"error: {files}: no account file" in result.stderr) == (2, True)
    write(files, "a")
    (files / ".hidden").mkdir()
    (files / ".hidden" / "b.yaml").write_text(":")
    (files / ".b.yaml").write_text(":")
    (files / "read.me").write_text(":")
    assert (await apply("--dry-run")).stdout == "+ email/a\n1 created, 0 updated, 0 unchanged\n"
    write(files, "same", _name="a")
    (files / "sub").mkdir()
    (files / "sub" / "b.yml").write_text("type: email\nhost: h\n")
    (files / "sub" / "c.yml").write_text("type: mail\n_name: c\n")
    (files / "sub" / "d.yml").write_text("a: [")
    result = await apply()
    assert result.returncode == 2
    for said in (
        f"{files}/same.json: is for the same account as {files}/a.json: email/a",
        f"{files}/sub/b.yml: _name: Required attribute is missing",
        f"{files}/sub/c.yml:1: type: Unknown account type; expected: email",
        f"{files}/sub/d.yml:1: not YAML",
    ):
        assert f"signals-proxy: error: {said}" in result.stderr
    (tmp_path / "outside.yaml").write_text("type: email\n")
    (files / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    assert f"error: {files}/link.yaml: is a link out of the folder" in (await apply()).stderr


async def test_change_in_between(
    apply: Run, files: Path, first_write: list[Any], registry: Registry, seal: Seal
) -> None:
    """An account that somebody else made after it was looked at is not overwritten, and told."""
    rival = seal(Ref("email", "a"), host="rival.example.com")

    async def put() -> None:
        await registry.put(rival, None)

    first_write.append(put)
    write(files, "a")
    result = await apply()
    assert result.returncode == 1
    assert "error: email/a was not written: [email/a]: version conflict" in result.stderr
    stored = await registry.get(Ref("email", "a"))
    assert stored is not None
    assert stored.account == rival


async def test_failure_midway(
    apply: Run, files: Path, first_write: list[Any], cluster: Cluster
) -> None:
    """What was written before a failure is told; repeating mends it."""

    async def unavailable() -> web.Response:
        return web.json_response({"status": 503, "error": "Too busy."}, status=503)

    first_write.append(unavailable)
    names = [f"a{number}" for number in range(6)]
    for name in names:
        write(files, name)
    result = await apply()
    assert result.returncode == 1
    written = sorted(versions(cluster))
    assert 0 < len(written) < 6
    assert (
        f"signals-proxy: {len(written)} of 6 accounts were written: {', '.join(written)}\n"
        "signals-proxy: hint: repeat the command: it goes on with those that are left\n"
    ) in result.stderr
    assert "(503): Too busy.; try again later" in result.stderr
    result = await apply()
    assert result.returncode == 0
    assert result.stdout.endswith(
        f"{6 - len(written)} created, 0 updated, {len(written)} unchanged\n"
    )


async def test_unusable_account(apply: Run, files: Path, cluster: Cluster) -> None:
    """What cannot be written because of what is stored is no error of the file."""
    write(files, "b")
    assert (await apply()).returncode == 0  # makes the index
    write(files, "a")
    cluster.put({"type": "email", "_name": "a", "host": "h", "port": 1}, Ref("email", "a"))
    result = await apply()
    assert (result.returncode, result.stdout) == (1, "")
    assert f"signals-proxy: error: {files}/a.json: " in result.stderr
    assert result.stderr.endswith(
        "error: 1 of 2 accounts cannot be written as they are stored now\n"
    )


KEY = b"GET /_signals/account/_key "


@pytest.mark.parametrize(
    ("status", "body", "fields", "said"),
    [
        (200, b"<html>", b"", "answered GET /_signals/account/_key with 200, and not as it should"),
        (200, b"[]", b"", "answered GET /_signals/account/_key with 200, and not as it should"),
        (200, b"[" * 100_000, b"", "answered GET /_signals/account/_key with 200, and not as"),
        (404, b'{"error":"no \\u001b[1m"}', b"", r"older version (no \x1b[1m); is the URL right?"),
        (302, b"", b"Location: http://127.0.0.1:1/\r\n", "sends callers elsewhere (302)"),
        (401, b"{}", b"", "does not accept no credentials (401); give others: SIGNALS_PROXY_AUTH"),
        (403, b'{"error":"No."}', b"", "these credentials may not do GET /_signals/account/_key"),
        (500, b'{"error":{}}', b"", "with 500, and not as it should: status 500"),
    ],
)
async def test_other_servers(
    run: Run, played: Played, files: Path, status: int, body: bytes, fields: bytes, said: str
) -> None:
    """A server that is none of ours, or does not let us in, is told in one sentence."""
    write(files, "a")
    played.answer(KEY, status, body, fields)
    result = await run("accounts", "apply", files, SIGNALS_PROXY_URL=played.url)
    assert (result.returncode, result.stdout) == (1, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


async def test_no_server(run: Run, files: Path) -> None:
    write(files, "a")
    result = await run("accounts", "apply", files, SIGNALS_PROXY_URL="http://127.0.0.1:1")
    assert result.returncode == 1
    assert result.stderr == (
        "signals-proxy: error: no connection to http://127.0.0.1:1: connection refused; does it"
        " run, and is the URL right?\n"
    )


@pytest.mark.parametrize(
    "url",
    ["", "proxy:9201", "ftp://h", "http://u:hunter2@h", "http://h?x", "http://[", "http://h:x"],
)
async def test_wrong_urls(run: Run, files: Path, url: str) -> None:
    """What is no URL, or names a user, is refused and not quoted."""
    write(files, "a")
    result = await run("accounts", "apply", files, SIGNALS_PROXY_URL=url)
    assert result.returncode == 2
    assert result.stderr.startswith("signals-proxy: error: SIGNALS_PROXY_URL ")
    assert "hunter2" not in result.stderr


async def test_credentials(
    run: Run, played: Played, files: Path, tmp_path: Path, canary: Callable[[str], str]
) -> None:
    """Credentials come from the environment or a file of the owner's alone, which goes first."""
    write(files, "a")
    played.answer(KEY, 401, b"{}")
    file, (one, other) = tmp_path / "auth", (canary("one"), canary("other"))
    environ = {"SIGNALS_PROXY_URL": played.url, "SIGNALS_PROXY_AUTHORIZATION": f"Bearer {one}"}
    result = await run("accounts", "apply", files, **environ)
    assert "does not accept these credentials" in result.stderr
    assert f"Authorization: Bearer {one}\r\n".encode() in played.requests[-1]
    file.touch(0o600)
    file.write_text(f"ApiKey {other}\n")
    await run("accounts", "apply", files, "--auth-file", file, **environ)
    assert f"Authorization: ApiKey {other}\r\n".encode() in played.requests[-1]
    count = len(played.requests)
    for text, mode, said in (
        ("ApiKey x", 0o640, "chmod 600"),
        (f"a\nb: {other}", 0o600, "does not hold the value of an Authorization field"),
    ):
        file.write_text(text)
        file.chmod(mode)
        result = await run("accounts", "apply", files, "--auth-file", file, **environ)
        assert (result.returncode, said in result.stderr) == (2, True)
    assert len(played.requests) == count


async def test_credentials_in_clear(run: Run, played: Played, files: Path) -> None:
    """Credentials that leave the machine in clear are warned of, once."""
    write(files, "a")
    played.answer(KEY, 401, b"{}")
    for url, warnings in ((played.url, 0), (played.url.replace("127.0.0.1", "0.0.0.0"), 1)):
        result = await run(
            "accounts", "apply", files, "--url", url, SIGNALS_PROXY_AUTHORIZATION="Bearer x"
        )
        assert result.stderr.count("warning: the credentials travel to") == warnings


async def test_tls(run: Run, application: web.Application, files: Path, tmp_path: Path) -> None:
    """A proxy behind TLS is believed by the authority that is named, and by it alone."""
    write(files, "a")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = Identity(tmp_path, authority.issue_cert("localhost")).context
    async with served(application, tls=context) as (_, port):
        url = f"https://localhost:{port}"
        result = await run("accounts", "apply", files, "--dry-run", "--url", url)
        assert (result.returncode, "its certificate is not trusted" in result.stderr) == (1, True)
        trusting = ("--url", url, "--ca-certificates", tmp_path / "ca.pem")
        result = await run("accounts", "apply", files, "--dry-run", *trusting)
        assert (result.returncode, result.stderr) == (3, "")
