"""``signals-proxy test`` and ``status``: what works, what does not, and what will not for long."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mail_servers import Mailbox, receiving
from played import Played
from registries import Cluster

from signals_proxy.account.ref import Ref
from signals_proxy.delivery.settings import DeliverySettings, Rate

Run = Callable[..., Awaitable[Any]]
Put = Callable[..., Awaitable[None]]


def in_days(count: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=count)).isoformat()


async def test_one(
    run: Run, proxy: str, put: Put, tmp_path: Path, canary: Callable[[str], str]
) -> None:
    """An account's steps are shown, and so are those of what it might become; nothing is sent."""
    password, wrong = canary("password"), canary("wrong")
    mailbox = Mailbox({"signals": password})
    file = tmp_path / "ops.yaml"
    async with receiving(mailbox) as port:
        server = {"host": "127.0.0.1", "port": port, "user": "signals"}
        await put("ops/email/night", password=password, **server)
        test = "test", "ops/email/night", "--url", proxy
        good = await run(*test)
        lines = [line.split() for line in good.stdout.splitlines()]
        assert (good.returncode, good.stderr) == (0, "")
        assert [line[0] for line in lines] == ["resolve", "connect", "auth", "ops/email/night:"]
        assert lines[-1] == ["ops/email/night:", "authenticated"]
        file.write_text(json.dumps({**server, "password": wrong}))
        refused = await run(*test, "--draft", file)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "ops/email/night: auth: credentials_refused: " in refused.stderr
        file.write_text(json.dumps({**server, "host": "mail.test"}))  # keeps the password
        moved = await run(*test, "--draft", file)
        file.write_text(f"host: mail.test\nprot: {port}\npassword: x\n")
        misspelt = await run(*test, "--draft", file)
        assert (moved.returncode, misspelt.returncode) == (2, 2)
        assert f"{file}: password: Must be sent again" in moved.stderr
        assert f"{file}:2: prot: " in misspelt.stderr
        assert (await run(*test)).returncode == 0
    assert mailbox.envelopes == []
    gone = await run(*test)
    assert gone.returncode == 1
    assert "ops/email/night: connect: not_connected: " in gone.stderr
    absent = await run("test", "email/absent", "--url", proxy)
    assert (absent.returncode, "email/absent: Not found" in absent.stderr) == (1, True)


async def test_all(
    run: Run, proxy: str, put: Put, cluster: Cluster, canary: Callable[[str], str]
) -> None:
    """Each account has its line, and the worst of them decides on the status.

    A password that was changed at the server is found before an alert is lost.
    """
    password = canary("password")
    mailbox = Mailbox({"signals": password})
    test = "test", "--url", proxy, "--all"
    async with receiving(mailbox) as port:
        server = {"host": "127.0.0.1", "port": port, "user": "signals", "password": password}
        await put("email/a", **server)
        await put("email/b", **server, expires_at=in_days(15))
        await put("email/c", **server, disabled=True)
        await put("ops/email/a", **server)

        async def told(*options: str) -> tuple[int, list[str]]:
            done = await run(*test, *options)
            assert done.stderr == ""
            return done.returncode, sorted(done.stdout.splitlines())

        ok = "ok (authenticated)"
        well = [f"email/a: {ok}", f"email/b: {ok}", "email/c: disabled, skipped"]
        assert await told() == (0, well)
        assert await told("--quiet") == (0, [])
        soon = f"email/b: {ok}, expires in 15 days"
        assert await told("--days", "15") == (3, [well[0], soon, well[2]])
        assert await told("--days", "15", "--quiet") == (3, [soon])
        assert await told("--tenant", "ops") == (0, [f"ops/email/a: {ok}"])
        nobody = await run(*test, "--tenant", "none", "--quiet")
        assert (nobody.returncode, nobody.stdout) == (3, "")
        assert "there is no account to check" in nobody.stderr
        await put("email/b", **server, expires_at=in_days(-2))
        assert await told("--quiet") == (3, [f"email/b: {ok}, expired 2 days ago"])
        mailbox.credentials = {"signals": "another"}
        status, lines = await told("--quiet")
        assert status == 1
        begin = "failed: auth: credentials_refused: "
        assert [line.partition(begin)[0] for line in lines] == ["email/a: ", "email/b: "]
        mailbox.credentials = {"signals": password}
        planted = {"type": "email", "_name": "p", "host": "127.0.0.1", "port": port}
        cluster.put(planted, Ref("email", "p"))
        status, lines = await told("--quiet")
        assert (status, len(lines)) == (1, 2)
        assert lines[1].startswith("email/p: failed: integrity unsealed: The account was written")
    assert mailbox.envelopes == []


class TestFairUse:
    @pytest.fixture
    def delivery(self, delivery: DeliverySettings) -> DeliverySettings:
        return DeliverySettings(
            allowed_networks=delivery.allowed_networks, caller_rate=Rate(burst=1, per_minute=120)
        )

    async def test_all(self, run: Run, proxy: str, put: Put) -> None:
        """More accounts than one may check at once are checked all the same, in their time."""
        async with receiving(Mailbox()) as port:
            for name in "abc":
                await put(f"email/{name}", host="127.0.0.1", port=port)
            done = await run("test", "--all", "--url", proxy)
        expected = [f"email/{name}: ok (reachable)" for name in "abc"]
        assert (done.returncode, sorted(done.stdout.splitlines())) == (0, expected)


async def test_refused(run: Run, played: Played) -> None:
    """An account that may not be checked is told; a caller who may not search ends the run."""
    hits = [{"_id": f"email/{name}", "sort": [name], "integrity": "verified"} for name in "abc"]
    page = {
        "timed_out": False,
        "_shards": {"failed": 0},
        "hits": {"total": {"value": 3}, "hits": hits},
    }
    found = json.dumps(page).encode()
    played.answer(b'"search_after"', 200, found.replace(json.dumps(hits).encode(), b"[]"))
    played.answer(b"/_search ", 200, found)
    for name, status, body in (
        (b"email/a/", 403, {"status": 403, "error": "Not you."}),
        (b"email/b/", 404, {"status": 404, "error": "Not found"}),
        (b"email/c/", 200, {"proved": "\x1b[31m", "steps": [{"step": 1}, 2]}),
    ):
        played.answer(b"POST /_signals/account/" + name, status, json.dumps(body).encode())
    done = await run("test", "--all", "--url", played.url)
    assert (done.returncode, sorted(done.stdout.splitlines())) == (
        1,
        [
            "email/a: failed: Not you.",
            "email/b: deleted meanwhile",
            r"email/c: ok (\x1b[31m)",
        ],
    )
    played.answers.clear()
    played.answer(b"/_search ", 403, b'{"status": 403, "error": "Not you."}')
    done = await run("test", "--all", "--url", played.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "these credentials may not do POST /_signals/account/_search" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [(), ("email/a", "--all"), ("--all", "--draft", "x.json"), ("email/a", "--tenant", "x")],
)
async def test_not_called_rightly(run: Run, arguments: tuple[str, ...]) -> None:
    done = await run("test", *arguments, "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--all" in done.stderr


async def test_status(run: Run, proxy: str, put: Put) -> None:
    """What happened lately is shown, a line each."""
    status = "status", "email/a", "--url", proxy
    assert (await run(*status)).returncode == 1
    async with receiving(Mailbox()) as port:
        await put("email/a", host="127.0.0.1", port=port, expires_at=in_days(3))
    before = await run(*status)
    assert before.stdout.splitlines()[:5] == [
        "integrity: verified",
        "disabled: false",
        f"expires_at: {in_days(3)}",
        "days_to_expiry: 3",
        "last_use: none known",
    ]
    await run("test", "email/a", "--url", proxy)
    done = await run(*status)
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert found["last_use"] == found["last_success"] == "none known"
    assert "step: connect, reason: not_connected" in found["last_error"]
    assert "outcome: failure" in found["last_check"]
