"""``signals-proxy keys status`` and ``keys public``."""

import json

import pytest
from health_listeners import health
from played import Played
from rotations import Rotation

from signals_proxy.account.file import PublicKey

STATUS = ("keys", "status")


def row(key: str, role: str, count: int | str) -> str:
    return f"{key:<32}  {role:<8}  {count:>9}\n"


async def test_public(rotation: Rotation) -> None:
    """The public key is what is printed; its fingerprint is told beside it."""
    key = PublicKey.of(rotation.keyring)
    assert await rotation.run("keys", "public") == (
        0,
        f"{key.line}\n",
        f"signals-proxy: its fingerprint is {key.fingerprint}\n",
    )


async def test_no_index(rotation: Rotation) -> None:
    """Where nothing was ever stored nothing is wrong, and nothing is made."""
    status, output, said = await rotation.run(*STATUS)
    assert (status, output) == (0, "")
    assert said.startswith("signals-proxy: there is no index yet, so there are no accounts\n")
    assert said.endswith("signals-proxy: nothing needs attention\n")
    assert not rotation.cluster.exists()


async def test_through_a_rotation(rotation: Rotation) -> None:
    """Each step shows as what is to be done next: status 3; at the end all is well: status 0."""
    await rotation.fill(4)
    old, new = rotation.rotate()
    status, output, said = await rotation.run(*STATUS)
    assert (status, output) == (
        3,
        row("key", "", "accounts")
        + row(new, "primary", 0)
        + row(old, "", 4)
        + row("no key", "unsealed", 0)
        + row("all", "", 4),
    )
    assert "signals-proxy: 4 accounts sealed by a key that is not the primary\n" in said
    assert "hint: `accounts reseal` seals them" in said
    assert (await rotation.run("accounts", "reseal"))[0] == 0
    status, output, said = await rotation.run(*STATUS)
    assert (status, output) == (
        0,
        row("key", "", "accounts")
        + row(new, "primary", 4)
        + row(old, "", 0)
        + row("no key", "unsealed", 0)
        + row("all", "", 4),
    )
    assert said.endswith("signals-proxy: nothing needs attention\n")


async def test_what_does_not_open(rotation: Rotation) -> None:
    """What no key of the keyring opens is counted and named, without acting on a terminal."""
    await rotation.fill(1)
    rotation.append()
    source = dict(rotation.account("email/lost").source)
    lost, evil = "f" * 32, "\x1b[2J" * 200
    await rotation.plant(
        {
            "email/lost": {**source, "_sealed": {**source["_sealed"], "key": lost}},
            "email/lost too": {"_sealed": {"key": lost}},
            "email/evil\x1b[2J": {"_sealed": {"key": evil}},
            "email/unsealed": {},
            "email/both": {"_sealed": {"key": [key.id for key in rotation.keyring.keys]}},
        }
        | {f"x/{n}": {"_sealed": {"key": f"{n}"}} for n in range(12)}
    )
    status, output, said = await rotation.run(*STATUS)
    assert status == 3
    assert "\x1b" not in output + said
    assert len(output + said) < 4000
    assert row(lost, "unknown", 2) in output
    assert row("other keys", "unknown", 4) in output
    assert "unknown key: 15 accounts cannot be opened: " in said
    assert "email/evil\\x1b[2J" in said
    assert "hint: put its line back, or PUT these accounts again" in said
    assert "some documents name several keys" in said
    assert "unsealed: 1 account written to the index, not by PUT: email/unsealed\n" in said


async def test_proxies(rotation: Rotation) -> None:
    """A proxy that lacks a key, seals with another, or does not answer is named: status 3."""
    await rotation.fill(1)
    old = rotation.keyring.primary.id
    rotation.append()
    _, new = (key.id for key in rotation.keyring.keys)
    async with (
        health({"primary": old, "keys": [old, new]}) as good,
        health({"primary": old, "keys": [old]}) as behind,
        health({"primary": new, "keys": [old, new]}) as ahead,
        health({}, status=503) as starting,
    ):
        silent = "http://127.0.0.1:1"
        urls = [f"--health={url}" for url in (good, behind, ahead, starting, silent)]
        status, _, said = await rotation.run(*STATUS, *urls)
        assert status == 3
        assert good not in said
        assert f"signals-proxy: {behind}: the proxy lacks {new}\n" in said
        assert f"signals-proxy: {ahead}: the proxy seals with {new}, not with this" in said
        assert f"signals-proxy: {starting}: the proxy does not serve yet\n" in said
        assert f"signals-proxy: {silent}: nothing answers there\n" in said
        assert (await rotation.run(*STATUS, urls[0]))[0] == 0


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", 200),
        (b"not JSON", 200),
        (b"[" * 100_000, 200),
        (b" " * (300 << 10), 200),
        (b'{"primary":"a","keys":["a"]}', 200),
        (b'{"primary":"%b","keys":"%b"}' % (b"a" * 32, b"a" * 32), 200),
        (b"{}", 302),
        (b"{}", 404),
    ],
)
async def test_odd_listeners(rotation: Rotation, answer: bytes, code: int) -> None:
    """What answers otherwise than a health listener does is named as such, and quoted nowhere."""
    async with health(answer, code) as odd:
        status, _, said = await rotation.run(*STATUS, f"--health={odd}")
    assert status == 3
    assert f"signals-proxy: {odd}: what answers there is no health listener of this version" in said
    assert len(said) < 1000


async def test_a_host_that_cannot_be(rotation: Rotation) -> None:
    """A name that the resolver would stumble over is a mistake in the call."""
    status, _, said = await rotation.run(*STATUS, "--health=http://a..b:1")
    assert status == 2
    assert "http://a..b:1" in said


async def test_the_listener_of_the_configuration(rotation: Rotation) -> None:
    """Without --health the one of the configuration is asked, if something answers there."""
    _, _, said = await rotation.run(*STATUS)
    assert "hint: no proxy was asked for its keys" in said
    async with health({"primary": "a" * 32, "keys": []}) as url:
        text = rotation.config.read_text()
        rotation.config.write_text(text.replace("127.0.0.1:1", url.removeprefix("http://")))
        status, _, said = await rotation.run(*STATUS)
    assert status == 3
    assert f"{url}: the proxy lacks {rotation.keyring.primary.id}" in said


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9203", "http://u:p@127.0.0.1:9203", "file:///etc/passwd"]
)
async def test_no_url(rotation: Rotation, url: str) -> None:
    status, _, said = await rotation.run(*STATUS, "--health", url)
    assert status == 2
    assert "is no URL such as http://10.0.0.1:9203" in said


async def test_it_cannot_be_found_out(
    rotation: Rotation, played: Played, elasticsearch: str
) -> None:
    """Where a part of the index did not answer, nothing is said to be well: status 1."""
    text = rotation.config.read_text()
    rotation.config.write_text(text.replace(elasticsearch, played.url))
    played.answer(b"flat_settings", 404, b'{"error":{"type":"index_not_found_exception"}}')
    partial = {"timed_out": False, "_shards": {"failed": 1}, "hits": {"total": {"value": 0}}}
    played.answer(b"_search", 200, json.dumps(partial).encode())
    status, output, said = await rotation.run(*STATUS)
    assert (status, output) == (1, "")
    assert said == (
        "signals-proxy: error: part of the registry's index did not count the accounts; try again"
        " later\n"
    )
