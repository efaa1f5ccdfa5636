"""``signals-proxy accounts apply --prune``: what it deletes, what it leaves, and what is said of it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from played import Played
from registries import Cluster, Seal

from signals_proxy.account.ref import Ref
from signals_proxy.registry.documents import Registry

Run = Callable[..., Awaitable[Any]]
Delete = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
EMAIL = {"type": "email", "host": "smtp.example.com", "port": 465}
WATCHES = ".signals_watches"
DONE = "0 created, 0 updated, 1 unchanged, "


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def deletes() -> list[Delete]:
    """What is done with the next DELETE, for a test to put in."""
    return []


@pytest.fixture
def application(application: web.Application, deletes: list[Delete]) -> web.Application:
    @web.middleware
    async def interfere(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "DELETE" and deletes:
            return await deletes.pop(0)(request, handler)
        return await handler(request)

    application.middlewares.insert(0, interfere)
    return application


@pytest.fixture
def stored(registry: Registry, seal: Seal) -> Callable[..., Awaitable[None]]:
    """Return a function that makes accounts by their ids."""

    async def stored(*ids: str) -> None:
        for each in ids:
            ref = Ref.of_document(each)
            assert ref is not None
            await registry.put(seal(ref), None)

    return stored


def write(folder: Path, name: str, **attributes: object) -> None:
    account = {"_name": name, **EMAIL, **attributes}
    (folder / f"{name}.json").write_text(json.dumps(account))


def ids(cluster: Cluster) -> list[str]:
    """Return the ids of all documents."""
    _, found = cluster.ask("GET", "/{index}/_search?size=1000&_source=false")
    return sorted(hit["_id"] for hit in found["hits"]["hits"])


async def test_tenants(
    apply: Run, files: Path, cluster: Cluster, stored: Callable[..., Awaitable[None]]
) -> None:
    """What no file names goes, in the tenants that files are of, and only if it is asked for."""
    write(files, "a")
    write(files, "t", _tenant="o ps", _name="a")
    assert (await apply()).returncode == 0
    await stored("email/b 1", "email/ü", "slack/s", "o ps/slack/s", "dev/email/a", "dev/email/b")
    before = ids(cluster)
    assert (await apply()).stdout == "0 created, 0 updated, 2 unchanged\n"
    expected = (
        "- email/b 1\n- email/ü\n- slack/s\n- o ps/slack/s\n"
        "0 created, 0 updated, 2 unchanged, 4 deleted\n"
    )
    result = await apply("--prune", "--dry-run")
    assert (result.returncode, result.stdout, result.stderr) == (3, expected, "")
    assert ids(cluster) == before
    result = await apply("--prune")
    assert (result.returncode, result.stdout, result.stderr) == (0, expected, "")
    assert ids(cluster) == ["dev/email/a", "dev/email/b", "email/a", "o ps/email/a"]
    for options in ((), ("--dry-run",)):
        result = await apply("--prune", *options)
        assert (result.returncode, result.stdout) == (
            0,
            "0 created, 0 updated, 2 unchanged, 0 deleted\n",
        )


async def test_no_file_of_the_global_ones(
    apply: Run, files: Path, cluster: Cluster, stored: Callable[..., Awaitable[None]]
) -> None:
    """Global accounts, which a tenant's search shows as well, are none of the tenant's."""
    write(files, "a", _tenant="ops")
    await stored("email/a", "email/b", "ops/email/b")
    result = await apply("--prune")
    assert result.stdout == (
        "+ ops/email/a\n- ops/email/b\n1 created, 0 updated, 0 unchanged, 1 deleted\n"
    )
    assert ids(cluster) == ["email/a", "email/b", "ops/email/a"]


async def test_all_pages(
    apply: Run,
    files: Path,
    cluster: Cluster,
    seal: Seal,
    stored: Callable[..., Awaitable[None]],
) -> None:
    """Every account of many pages is found, and every one that a file names is left."""
    await stored("email/a0")  # makes the index
    actions: list[dict[str, Any]] = []
    for number in range(1, 250):
        ref = Ref("email", f"a{number}")
        actions += [{"index": {"_id": ref.document_id}}, {**seal(ref).source}]
    bulk = "".join(json.dumps(line) + "\n" for line in actions).encode()
    _, answer = cluster.ask("POST", "/{index}/_bulk?refresh=true", bulk)
    assert answer["errors"] is False
    for number in range(0, 250, 50):
        write(files, f"a{number}", user="signals", password="::es_redacted::")
    result = await apply("--prune", "--dry-run")
    *lines, summary = result.stdout.splitlines()
    expected = [f"- email/a{number}" for number in range(250) if number % 50]
    assert sorted(line for line in lines if line.startswith("- ")) == sorted(expected)
    assert (result.returncode, summary.endswith(", 245 deleted")) == (3, True)


async def test_in_use(
    apply: Run, files: Path, cluster: Cluster, stored: Callable[..., Awaitable[None]]
) -> None:
    """An account that a watch names stays and is told; the others go, and later it does."""
    write(files, "a")
    await apply()
    await stored(*(f"email/pruned{number}" for number in range(3)))
    watch = {"_tenant": "_main", "actions": [{"type": "email", "account": "pruned1"}]}
    try:
        cluster.ask("PUT", f"/{WATCHES}/_doc/_main%2Fpruning?refresh=true", watch)
        result = await apply("--prune")
    finally:
        cluster.ask("DELETE", f"/{WATCHES}")
    assert (result.returncode, result.stdout) == (
        1,
        f"- email/pruned0\n- email/pruned1\n- email/pruned2\n{DONE}2 deleted\n",
    )
    assert result.stderr == (
        "signals-proxy: error: email/pruned1 was not deleted: The account is still in use\n"
        "signals-proxy: 2 of 3 accounts were deleted: email/pruned0, email/pruned2\n"
        "signals-proxy: hint: repeat the command: it goes on with those that are left\n"
    )
    result = await apply("--prune")
    assert (result.returncode, result.stdout) == (0, f"- email/pruned1\n{DONE}1 deleted\n")
    assert ids(cluster) == ["email/a"]


async def test_changed_meanwhile(
    apply: Run,
    files: Path,
    cluster: Cluster,
    deletes: list[Delete],
    registry: Registry,
    seal: Seal,
    stored: Callable[..., Awaitable[None]],
) -> None:
    """An account that somebody changes after it was looked at stays, and is told."""

    async def changed(request: web.Request, handler: Handler) -> web.StreamResponse:
        found = await registry.get(Ref("email", "b"))
        assert found is not None
        await registry.put(seal(Ref("email", "b"), host="new.example.com"), found.version)
        return await handler(request)

    async def deleted(request: web.Request, handler: Handler) -> web.StreamResponse:
        found = await registry.get(Ref("email", "b"))
        assert found is not None
        await registry.delete(Ref("email", "b"), found.version)
        return await handler(request)

    write(files, "a")
    await apply()
    for meanwhile, said, left in (
        (changed, "current document has seqNo [", ["email/a", "email/b"]),
        (deleted, "but no document was found", ["email/a"]),
    ):
        if "email/b" not in ids(cluster):
            await stored("email/b")
        deletes.append(meanwhile)
        result = await apply("--prune")
        assert (result.returncode, result.stdout) == (1, f"- email/b\n{DONE}0 deleted\n")
        assert "error: email/b was not deleted: [email/b]: version conflict, " in result.stderr
        assert said in result.stderr
        assert ids(cluster) == left


async def test_gone_before_it_was_looked_at(
    apply: Run, files: Path, cluster: Cluster, stored: Callable[..., Awaitable[None]]
) -> None:
    """What a search still shows, and nobody else does, is nothing to delete."""
    write(files, "a")
    await apply()
    await stored("email/b")
    cluster.ask("PUT", "/{index}/_settings", {"index": {"refresh_interval": "-1"}})
    cluster.ask("DELETE", "/{index}/_doc/email%2Fb")
    assert ids(cluster) == ["email/a", "email/b"]
    result = await apply("--prune")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{DONE}0 deleted\n", "")


async def test_failure_midway(
    apply: Run,
    files: Path,
    cluster: Cluster,
    first_write: list[Any],
    deletes: list[Delete],
    stored: Callable[..., Awaitable[None]],
) -> None:
    """Nothing is deleted once a write failed; after a failed deletion, repeating goes on."""

    async def unavailable(*_: object) -> web.Response:
        return web.json_response({"status": 503, "error": "Too busy."}, status=503)

    await stored(*(f"email/b{number}" for number in range(8)))
    write(files, "a")
    first_write.append(unavailable)
    result = await apply("--prune")
    assert (result.returncode, "deleted" in result.stderr) == (1, False)
    assert len(ids(cluster)) == 8
    deletes.append(unavailable)
    result = await apply("--prune")
    assert result.returncode == 1
    left = ids(cluster)
    assert "email/a" in left
    assert 1 < len(left) < 9
    gone = sorted({f"email/b{number}" for number in range(8)} - {*left})
    assert result.stderr.startswith(
        f"signals-proxy: {len(gone)} of 8 accounts were deleted: {', '.join(gone)}\n"
        "signals-proxy: hint: repeat the command: it goes on with those that are left\n"
        "signals-proxy: error: "
    )
    assert (await apply("--prune")).stdout.endswith(f", {8 - len(gone)} deleted\n")
    assert ids(cluster) == ["email/a"]


async def test_ctrl_c(
    proxy: str,
    files: Path,
    deletes: list[Delete],
    stored: Callable[..., Awaitable[None]],
) -> None:
    """Whoever interrupts it is told what was deleted by then."""
    held = asyncio.Event()
    released = asyncio.Event()

    async def pass_by(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request)

    async def hold(request: web.Request, handler: Handler) -> web.StreamResponse:
        if len(deletes) == 1:  # four at once: the first one was answered
            held.set()
        await released.wait()
        return await handler(request)

    await stored(*(f"email/b{number}" for number in range(6)))
    write(files, "a")
    deletes += [pass_by, hold, hold, hold, hold, hold]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "signals_proxy", "accounts", "apply", str(files), "--prune"),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "SIGNALS_PROXY_URL": proxy},
    )
    try:
        await held.wait()
        process.send_signal(signal.SIGINT)
        _, told = await process.communicate()
    finally:
        released.set()
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 130
    assert b"signals-proxy: 1 of 6 accounts were deleted: email/b" in told
    assert b"hint: repeat the command" in told


async def test_broken_files(
    apply: Run, files: Path, cluster: Cluster, stored: Callable[..., Awaitable[None]]
) -> None:
    """Nothing is deleted unless every file could be read, and was found to be right."""
    write(files, "a")
    await apply()
    await stored("email/b")
    for name, text, status in (
        ("bad.yaml", "a: [", 2),
        ("bad.json", json.dumps({**EMAIL, "_name": "b", "port": 0}), 2),
        ("bad.yml", json.dumps({**EMAIL, "_name": "forged"}), 1),
    ):
        cluster.put({"type": "email", "_name": "forged"}, Ref("email", "forged"))
        (files / name).write_text(text)
        result = await apply("--prune")
        assert (result.returncode, result.stdout) == (status, "")
        assert f"{files}/{name}" in result.stderr
        (files / name).unlink()
        assert ids(cluster) == ["email/a", "email/b", "email/forged"]
    (files / "a.json").unlink()
    result = await apply("--prune")
    assert (result.returncode, "no account file is below" in result.stderr) == (2, True)
    assert ids(cluster) == ["email/a", "email/b", "email/forged"]


async def test_linked_folders(run: Run, files: Path, tmp_path: Path) -> None:
    """A folder that is a link is refused, as its accounts would count as named by no file."""
    write(files, "a")
    (tmp_path / "more").mkdir()
    (files / "more").symlink_to(tmp_path / "more")
    result = await run("accounts", "apply", files, SIGNALS_PROXY_URL="http://127.0.0.1:1")
    assert result.returncode == 2
    assert f"error: {files}/more: is a link to a folder, which is not followed" in result.stderr


async def test_what_is_no_account(
    apply: Run, files: Path, cluster: Cluster, stored: Callable[..., Awaitable[None]]
) -> None:
    """Documents whose ids are of no account stay; if they may hide one, that is told."""
    write(files, "a")
    write(files, "t", _tenant="ops", _name="a")
    await apply()
    forged = [("email", "forged"), ("ops", "email", "forged")]
    odd = [
        *(("stray",), ("email", ".."), ("email", "_x"), ("Email", "x"), ("_main", "email", "x")),
        *(("ops", "mail", "x"), ("ops", "email", ""), ("a", "b", "c", "d")),
    ]

    def plant(names: Iterable[tuple[str, ...]]) -> None:
        for each in names:
            tenant = {"_tenant": each[0]} if len(each) > 2 else {}
            document = {"type": "email", "_name": "0", **tenant}
            path = "%2F".join(each)
            status, _ = cluster.ask("PUT", f"/{{index}}/_doc/{path}?refresh=true", document)
            assert status == 201

    plant([*odd, *forged])
    cluster.put({"type": "email", "_name": "0", "_tenant": "ops"}, Ref("email", "moved"))
    result = await apply("--prune")
    assert result.stdout == (
        "- email/forged\n- ops/email/forged\n0 created, 0 updated, 2 unchanged, 2 deleted\n"
    )
    left = sorted(["email/a", "email/moved", "ops/email/a", *("/".join(each) for each in odd)])
    assert (result.returncode, ids(cluster)) == (0, left)
    plant((f"stray{number}",) for number in range(20))
    await stored("email/b")
    result = await apply("--prune")
    assert "more accounts than it shows" in result.stderr


LISTED = {"timed_out": False, "_shards": {"failed": 0}}
TOTAL = {"value": 1, "relation": "eq"}


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, {**LISTED, "timed_out": True, "hits": {"total": TOTAL, "hits": []}}, "status 200"),
        (200, {"timed_out": False, "_shards": {"failed": 1}, "hits": {}}, "status 200"),
        (200, {**LISTED, "hits": {"total": TOTAL, "hits": [{"_id": "a"}]}}, "in a form that is"),
        (400, {"status": 400, "error": "No mapping."}, "does not list its accounts: No mapping"),
        (403, {"status": 403, "error": "No."}, "may not do POST /_signals/account/_search (403)"),
        (
            200,
            {
                **LISTED,
                "hits": {"total": TOTAL, "hits": [{"_id": "email/b", "sort": ["x"]}] * 50_001},
            },
            "lists more than 100000 accounts",
        ),
    ],
)
async def test_odd_lists(
    run: Run, played: Played, files: Path, status: int, body: dict[str, Any], said: str
) -> None:
    """A list that may not be whole, or never ends, ends it before anything is written or deleted."""
    write(files, "a")
    played.answer(b"GET /_signals/account/_key ", 200, b'{"key": "x"}')
    played.answer(b"GET /_signals/account/email/a ", 404, b'{"status": 404}')
    trial = {"result": "created", "dry_run": True}
    played.answer(b"PUT /_signals/account/email/a?", 201, json.dumps(trial).encode())
    played.answer(b"POST /_signals/account/_search ", status, json.dumps(body).encode())
    result = await run("accounts", "apply", files, "--prune", SIGNALS_PROXY_URL=played.url)
    assert (result.returncode, result.stdout) == (1, "")
    assert said in result.stderr
    sent = [request.split(b" ", 2)[:2] for request in played.requests]
    assert [path for method, path in sent if method == b"PUT" and b"dry_run" not in path] == []
    assert [path for method, path in sent if method == b"DELETE"] == []
