"""``signals-proxy accounts reseal``: exit status, what it says, and being ended in the middle."""

import asyncio
import os
import pty
import signal

import pytest
from faults import Fault, Wire
from health_listeners import health
from rotations import Rotation

BULK = b"POST /_bulk"


async def test_everything(rotation: Rotation) -> None:
    """All accounts are sealed by the new key, and open without the old; another run does nothing."""
    await rotation.fill(60)
    old, new = rotation.rotate()
    said = f"signals-proxy: 60 accounts sealed anew with the key {new}\n"
    assert await rotation.run("accounts", "reseal") == (0, "", said)
    rotation.forget(old)
    assert await rotation.states() == {"verified": 60}
    before = await rotation.documents()
    said = f"signals-proxy: 0 accounts sealed anew with the key {new}\n"
    assert await rotation.run("accounts", "reseal") == (0, "", said)
    assert await rotation.documents() == before


async def test_no_index(rotation: Rotation) -> None:
    """Where nothing was ever stored, nothing is done and nothing made."""
    assert (await rotation.run("accounts", "reseal"))[0] == 0
    assert not rotation.cluster.exists()


async def test_what_does_not_open(rotation: Rotation) -> None:
    """What was planted or lost its key stays as it is, and is told with the remedy: status 3."""
    await rotation.fill(3)
    sealed = dict(rotation.account("email/forged").source)
    lost = "lost"
    planted = {
        "email/forged": {**sealed, "host": "evil.example.com"},
        "email/unsealed": {"type": "email", "_name": "unsealed", "host": "evil.example.com"},
        "stray\x1b[2J": {"type": "email"},
    }
    await rotation.plant(planted)
    _, middle = rotation.rotate()
    await rotation.plant({"email/lost": dict(rotation.account(f"email/{lost}").source)})
    rotation.forget(middle)
    _, new = rotation.rotate()
    before = await rotation.documents()
    status, output, said = await rotation.run("accounts", "reseal")
    assert (status, output) == (3, "")
    assert f"3 accounts sealed anew with the key {new}" in said
    assert "1 account left as they are (failed): email/forged\n" in said
    assert "1 account left as they are (unsealed): email/unsealed\n" in said
    assert "1 account left as they are (unknown_key): email/lost\n" in said
    assert "hint: the key that sealed the account is not in the keyring. Put its line back" in said
    assert "documents that are no accounts: 1: stray\\x1b[2J\n" in said
    after = await rotation.documents()
    assert {name for name in after if after[name] != before[name]} == {
        f"email/a{n}" for n in range(3)
    }


async def test_proxies_without_the_key(rotation: Rotation) -> None:
    """Nothing is sealed before each proxy that is named can open it; who cannot is named."""
    await rotation.fill(2)
    old, new = rotation.rotate()
    async with (
        health({"primary": old, "keys": [old, new]}) as ready,
        health({"primary": old, "keys": [old]}) as behind,
    ):
        urls = [f"--health={url}" for url in (ready, behind, "http://127.0.0.1:1")]
        status, _, said = await rotation.run("accounts", "reseal", *urls)
        assert status == 1
        assert said.startswith(
            f"signals-proxy: error: {behind}: the proxy lacks the key {new}\n"
            "signals-proxy: error: http://127.0.0.1:1: nothing answers there\n"
            "signals-proxy: hint: nothing was sealed: "
        )
        assert await rotation.sealed_by() == {old: 2}
        assert (await rotation.run("accounts", "reseal", urls[0]))[0] == 0
    assert await rotation.sealed_by() == {new: 2}


@pytest.fixture
def held(rotation: Rotation, faulty_wire: Wire, elasticsearch: str) -> Wire:
    """The wire through which the command, and it alone, speaks to the node."""
    text = rotation.config.read_text()
    rotation.config.write_text(text.replace(elasticsearch, faulty_wire.url))
    return faulty_wire


async def test_killed_in_the_middle(rotation: Rotation, held: Wire) -> None:
    """A run that was killed is gone on with; meanwhile every account can be opened."""
    await rotation.fill(120)
    old, new = rotation.rotate()
    first = held.plan(BULK, Fault.HOLD_REQUEST)
    killed = await rotation.start("accounts", "reseal")
    await first.met.wait()
    second = held.plan(BULK, Fault.HOLD_REQUEST)
    first.release.set()
    await second.met.wait()
    killed.kill()
    await killed.communicate()
    assert await rotation.sealed_by() == {old: 95, new: 25}
    assert await rotation.states() == {"verified": 120}
    status, _, said = await rotation.run("accounts", "reseal")
    assert (status, said) == (0, f"signals-proxy: 95 accounts sealed anew with the key {new}\n")
    assert await rotation.sealed_by() == {new: 120}


async def test_ctrl_c(rotation: Rotation, held: Wire) -> None:
    """Ctrl-C ends a run after the batch that it is at, with the count so far, and nothing lost."""
    await rotation.fill(120)
    _, new = rotation.rotate()
    plan = held.plan(BULK, Fault.HOLD_REQUEST)
    stopped = await rotation.start("accounts", "reseal")
    await plan.met.wait()
    stopped.send_signal(signal.SIGINT)
    plan.release.set()
    _, said = await stopped.communicate()
    assert stopped.returncode == 130
    assert said.decode() == (
        f"signals-proxy: 25 accounts sealed anew with the key {new}\n"
        "signals-proxy: hint: it was stopped; run it again to go on\n"
    )
    assert any(b"DELETE /_search/scroll" in request for request in held.requests)
    assert (await rotation.sealed_by())[new] == 25


async def test_a_cluster_that_is_lost(rotation: Rotation, held: Wire) -> None:
    """A cluster that is lost in the middle ends it with status 1; what was done is told."""
    await rotation.fill(60)
    _, new = rotation.rotate()
    plan = held.plan(BULK, Fault.HOLD_REQUEST)
    lost = await rotation.start("accounts", "reseal")
    await plan.met.wait()
    held.plan(b"GET /.signals", Fault.LOSE_REQUEST, times=100)
    plan.release.set()
    _, said = await lost.communicate()
    assert lost.returncode == 1
    assert said.decode() == (
        "signals-proxy: 25 accounts sealed anew until then; run it again to go on\n"
        "signals-proxy: error: the connection to the cluster ended while it was to read the account\n"
    )
    assert (await rotation.sealed_by())[new] == 25


async def test_a_second_rotation_before_the_first_ended(rotation: Rotation) -> None:
    """Accounts of several old keys all come to be sealed by the newest."""
    await rotation.fill(30, "a")
    rotation.rotate()
    await rotation.fill(30, "b")
    _, new = rotation.rotate()
    assert (await rotation.run("accounts", "reseal"))[0] == 0
    assert await rotation.sealed_by() == {new: 60}
    assert await rotation.states() == {"verified": 60}


async def test_two_at_once(rotation: Rotation) -> None:
    """Two runs at once do no harm: together they do what one does."""
    await rotation.fill(300)
    _, new = rotation.rotate()
    results = await asyncio.gather(*(rotation.run("accounts", "reseal") for _ in range(2)))
    assert [status for status, _, _ in results] == [0, 0]
    # The last line: a run of many seconds tells before how far it is.
    assert sum(int(said.splitlines()[-1].split()[1]) for _, _, said in results) == 300
    assert await rotation.sealed_by() == {new: 300}
    assert await rotation.states() == {"verified": 300}


async def test_a_terminal(rotation: Rotation) -> None:
    """At a terminal a bar shows how far it is."""
    await rotation.fill(60)
    rotation.rotate()
    ours, theirs = pty.openpty()
    process = await rotation.start("accounts", "reseal", stderr=theirs)
    os.close(theirs)
    assert await process.wait() == 0
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    assert b"resealing" in shown
    assert b"100%" in shown
