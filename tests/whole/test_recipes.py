"""The recipes of docs/recipes, as they stand there, but for the proxy's name and its users.

Each sends through a whole proxy, as a user who may do nothing but send, to a real mail server.
Kibana and OpenSearch are not here: what they send is said by what the recipes name.
"""

import asyncio
import email
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from asked import deciding
from callers import basic
from mail_servers import Mailbox, receiving
from nacl.pwhash import argon2id
from rawhttp import exchange
from registries import Cluster
from served import LIMIT_S, configure, serve

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
ELASTALERT = Path(__file__).parents[2] / ".venv" / "elastalert"
PROXY = "https://proxy.example.com:9201"
STATIC = """{
  backend: static,
  roles: {
    admin: [{actions: "*", accounts: "*"}],
    alerts: [{actions: send, accounts: email/ops}],
    watch: [{actions: [search, test], accounts: "*"}]},
  users: {
    admin: {password_hash: '%(hash)s', roles: admin},
    alerts: {password_hash: '%(hash)s', roles: alerts},
    watch: {password_hash: '%(hash)s', roles: watch}}}"""


def blocks(name: str, language: str) -> list[str]:
    page = (RECIPES / f"{name}.md").read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found
    return [str(it) for it in found]


def text(found: EmailMessage) -> str:
    return str(found.get_content()).replace("\r\n", "\n")


class Received(Mailbox):
    """A mailbox that tells of each message."""

    def __init__(self) -> None:
        super().__init__()
        self.news = asyncio.Event()

    async def handle_DATA(self, *taken: Any) -> str:  # noqa: N802
        answer = await super().handle_DATA(*taken)
        self.news.set()
        return answer

    def only(self) -> EmailMessage:
        """Return the one message that came, and forget it."""
        (envelope,) = self.envelopes
        self.envelopes.clear()
        assert envelope.rcpt_tos == ["ops@mail.test"]
        assert isinstance(envelope.content, bytes)
        found = email.message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        return found


class Kitchen:
    """A proxy with the account ``email/ops``, its users, and what arrived."""

    def __init__(self, port: int, password: str, mailbox: Received, folder: Path) -> None:
        self.port = port
        self.password = password
        self.mailbox = mailbox
        self.folder = folder

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def authorization(self, user: str = "alerts") -> str:
        return basic(user, self.password)

    def here(self, recipe: str) -> str:
        """Return a recipe's text for this proxy."""
        assert PROXY in recipe
        return recipe.replace(PROXY, self.url).replace("/etc/alerts", str(self.folder))

    async def run(self, *command: str, **environ: str) -> str:
        """Run a command that ends well; return what it said."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": path, **environ},
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.fixture
async def kitchen(
    elasticsearch: str, cluster: Cluster, index: str, tmp_path: Path, secret_value: str
) -> AsyncIterator[Kitchen]:
    del cluster  # takes the index away
    mailbox = Received()
    hashed = argon2id.str(secret_value.encode(), 1, 10 << 20).decode()
    more = f"registry: {{index: {index}}}\ndelivery: {{allowed_networks: [127.0.0.0/8]}}\n"
    file = deciding(configure(tmp_path, elasticsearch, more), STATIC % {"hash": hashed})
    async with receiving(mailbox) as port, serve(file) as proxy, ClientSession() as session:
        made = Kitchen((await proxy.served()).port, secret_value, mailbox, tmp_path)
        await proxy.event("ready")
        account = {
            "host": "127.0.0.1",
            "port": port,
            "default_from": "alerts@mail.test",
            "default_to": "ops@mail.test",
        }
        url = f"{made.url}/_signals/account/email/ops"
        fields = {"Authorization": made.authorization("admin")}
        async with session.put(url, json=account, headers=fields) as answer:
            assert answer.status == 201, await answer.text()
        yield made


def test_every_recipe_is_here() -> None:
    names = {"cron", "elastalert", "kibana", "opensearch", "python"}
    assert {it.stem for it in RECIPES.iterdir()} == names


async def test_cron(kitchen: Kitchen) -> None:
    """What curl and the command line are told is kept out of their arguments."""
    for name, line in (
        ("authorization", f"Authorization: {kitchen.authorization()}\n"),
        ("value", f"{kitchen.authorization()}\n"),
    ):
        file = kitchen.folder / name
        file.touch(0o600)
        file.write_text(line)
    (kitchen.folder / "backup.log").write_text('went "wrong"\n')
    curl, send, check = (kitchen.here(it) for it in blocks("cron", "sh"))
    assert json.loads(await kitchen.run("sh", "-c", curl))["delivered"] is True
    found = kitchen.mailbox.only()
    assert (found["Subject"], text(found)) == ("backup failed", "on db1\n")
    assert (await kitchen.run("sh", "-c", send)).startswith("email/ops: delivered: ")
    assert text(kitchen.mailbox.only()) == 'went "wrong"\n'
    (kitchen.folder / "value").write_text(kitchen.authorization("watch"))
    assert await kitchen.run("sh", "-c", check) == ""
    assert kitchen.mailbox.envelopes == []


async def test_python(kitchen: Kitchen) -> None:
    for program in blocks("python", "python"):
        told = await kitchen.run(
            sys.executable, "-c", kitchen.here(program), AUTHORIZATION=kitchen.authorization()
        )
        found = kitchen.mailbox.only()
        assert found["Message-ID"] == told.strip()
        assert (found["Subject"], text(found)) == ("It burns", "Room 101\n")


def rendered(template: str, values: Mapping[str, str]) -> bytes:
    """Return a template with its variables in their places, escaped for JSON."""

    def put(found: re.Match[str]) -> str:
        return json.dumps(values[found[1]])[1:-1]

    return re.sub(r"\{\{([\w.]+)\}\}", put, template).encode()


async def posted(kitchen: Kitchen, url: str, fields: Mapping[str, str], body: bytes) -> int:
    """Return the status of a POST with these fields and no others."""
    path = url.removeprefix(PROXY)
    assert path != url
    given = {"Host": f"127.0.0.1:{kitchen.port}", "Content-Length": str(len(body)), **fields}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    head, _ = await exchange(
        ("127.0.0.1", kitchen.port), "\r\n".join([*lines, "", ""]).encode() + body
    )
    return int(head.split()[1])


async def test_kibana(kitchen: Kitchen) -> None:
    """Kibana sends by axios: its fields, those of the connector, and the action's text."""
    connector, template = blocks("kibana", "json")
    made = json.loads(connector)
    config = made["config"]
    assert (made["connector_type_id"], config["method"]) == (".webhook", "post")
    values = {
        "rule.name": 'disk "full"',
        "context.title": "db1",
        "context.message": "a\nb",
        "rule.url": "https://kibana.test/app",
    }
    axios = {
        "Accept": "application/json, text/plain, */*",
        "User-Agent": "axios/1.12.2",
        "Accept-Encoding": "gzip, compress, deflate, br",
        "Authorization": basic(made["secrets"]["user"], kitchen.password),
        "Connection": "close",
    }
    body = rendered(template, values)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert await posted(kitchen, config["url"], {**axios, **form}, body) == 415
    assert await posted(kitchen, config["url"], {**axios, **config["headers"]}, body) == 200
    found = kitchen.mailbox.only()
    assert found["Subject"] == 'disk "full": db1'
    assert text(found) == "a\nb\n\nhttps://kibana.test/app\n"


async def test_opensearch(kitchen: Kitchen) -> None:
    """OpenSearch sends by Apache's client: the channel's fields, and the message as it is."""
    channel, template = blocks("opensearch", "json")
    config = json.loads(channel)["config"]
    assert (config["config_type"], config["webhook"]["method"]) == ("webhook", "POST")
    values = {
        "ctx.monitor.name": "disks",
        "ctx.trigger.name": "full",
        "ctx.trigger.severity": "1",
        "ctx.periodStart": "2030-01-01T00:00:00Z",
        "ctx.periodEnd": "2030-01-01T00:01:00Z",
    }
    fields = config["webhook"]["header_params"]
    assert fields["Authorization"] == "Basic …"
    fields |= {
        "Authorization": kitchen.authorization(),
        "Connection": "close",
        "User-Agent": "Apache-HttpClient/4.5.14 (Java/21.0.5)",
        "Accept-Encoding": "gzip,deflate",
    }
    url = config["webhook"]["url"]
    assert await posted(kitchen, url, fields, rendered(template, values)) == 200
    found = kitchen.mailbox.only()
    assert found["Subject"] == "disks: full"
    assert text(found).startswith("Severity 1, from 2030-01-01T00:00:00Z to ")


@pytest.fixture
def logs(elasticsearch: str, index: str) -> Iterator[tuple[Cluster, str, str]]:
    """An index that rules search, and where ElastAlert keeps its own state; by their names."""
    names = (f"logs-{index[1:]}", f"elastalert-{index[1:]}")
    node = Cluster(elasticsearch, names[0])
    yield node, *names
    for kind in ("", "_status", "_silence", "_error", "_past"):
        node.ask("DELETE", f"/{names[1]}{kind}?ignore_unavailable=true")
    node.ask("DELETE", f"/{names[0]}?ignore_unavailable=true")


async def test_elastalert(
    kitchen: Kitchen, logs: tuple[Cluster, str, str], saw: Callable[[str, bytes | str], None]
) -> None:
    """A real ElastAlert searches through the proxy; what a rule finds arrives as mail."""
    assert ELASTALERT.is_dir(), "it is not installed: make .venv/elastalert.stamp"
    node, index, state = logs
    config, rule = blocks("elastalert", "yaml")
    for old, new in (
        ("es_host: proxy.example.com", "es_host: 127.0.0.1"),
        ("es_port: 9201", f"es_port: {kitchen.port}"),
        ("use_ssl: true", "use_ssl: false"),
        ("writeback_index: elastalert", f"writeback_index: {state}"),
    ):
        assert old in config
        config = config.replace(old, new)
    (kitchen.folder / "config.yaml").write_text(config)
    (kitchen.folder / "rules").mkdir()
    assert "index: logs-*" in rule
    rule = kitchen.here(rule).replace("index: logs-*", f"index: {index}")
    (kitchen.folder / "rules" / "disk.yaml").write_text(rule)
    environ = {"PYTHONPATH": str(ELASTALERT), "ALERTS_AUTHORIZATION": kitchen.authorization()}
    python = sys.executable, "-W", "ignore", "-m"
    # The commands of the recipe, which pip puts beside a Python that these packages are not in.
    create, watch = blocks("elastalert", "sh")[0].splitlines()
    assert create == "elastalert-create-index --config config.yaml"
    assert watch == "elastalert --config config.yaml"
    document = {
        "@timestamp": datetime.now(UTC).isoformat(),
        "message": 'the "disk full" of db1',
        "host": "db1",
    }
    status, _ = await asyncio.to_thread(node.ask, "PUT", f"/{index}/_doc/1?refresh=true", document)
    assert status == 201
    await kitchen.run(*python, "elastalert.create_index", *create.split()[1:], **environ)
    said = kitchen.folder / "said"
    with said.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(*python, "elastalert.elastalert", *watch.split()[1:]),
            cwd=kitchen.folder,
            stdout=file,
            stderr=file,
            env={**os.environ, **environ},
        )
    ended, arrived = (
        asyncio.create_task(it) for it in (process.wait(), kitchen.mailbox.news.wait())
    )
    try:
        async with asyncio.timeout(3 * LIMIT_S):
            await asyncio.wait((ended, arrived), return_when=asyncio.FIRST_COMPLETED)
    finally:
        arrived.cancel()
        if not ended.done():
            process.kill()
        await ended
        saw("what ElastAlert said", said.read_bytes())
    assert kitchen.mailbox.envelopes, said.read_text()
    found = kitchen.mailbox.only()
    assert found["Subject"] == "disk full on db1"
    assert text(found) == 'the "disk full" of db1\n'
