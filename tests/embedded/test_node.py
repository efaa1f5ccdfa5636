"""The embedded node: a real one, in a child process that is never left behind."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from processes import wait_for_ends, watch

from signals_proxy import embedded
from signals_proxy.errors import ConfigError

VERSION = embedded.VERSION

PARENT = """
import sys
from pathlib import Path
from signals_proxy import embedded
node = embedded.start(sys.argv[1], Path(sys.argv[2]))
print(node.process.pid, flush=True)
sys.stdin.read()
"""


pytestmark = pytest.mark.usefixtures("prepared")


def call(method: str, url: str, body: object = None) -> dict[str, object]:
    """Send a request to a node and return its answer, which has to be a success."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def test_data_is_kept(tmp_path: Path) -> None:
    """What a node has acknowledged is there in the next run, be it stopped in order or killed."""
    with embedded.start(VERSION, tmp_path) as node:
        call("PUT", f"{node.url}/notes/_doc/1", {"text": "stopped"})
    assert node.process.returncode == 0
    with embedded.start(VERSION, tmp_path) as node:
        assert call("GET", f"{node.url}/notes/_doc/1")["_source"] == {"text": "stopped"}
        call("PUT", f"{node.url}/notes/_doc/1", {"text": "killed"})
        node.kill()
    assert node.process.returncode == -signal.SIGKILL
    with embedded.start(VERSION, tmp_path) as node:
        assert call("GET", f"{node.url}/notes/_doc/1")["_source"] == {"text": "killed"}


@pytest.mark.parametrize("version", ["9.5.3", "8.19.21"])
def test_official_client(version: str, request: pytest.FixtureRequest) -> None:
    """The official client takes both versions for what they are, and `GET /` tells them apart."""
    url = request.getfixturevalue("elasticsearch" if version[0] == "9" else "elasticsearch_8")
    with Elasticsearch(url) as client:
        told = client.info()
        assert version == told["version"]["number"]
        assert told["tagline"] == "You Know, for Search"
        assert client.ping()
        assert client.cluster.state()["cluster_uuid"] == told["cluster_uuid"]


def test_cluster_of_three(tmp_path: Path) -> None:
    """Nodes can be joined to a cluster, which turns green with a copy on another node."""
    with (
        embedded.start(VERSION, tmp_path / "1", name="one", cluster="three") as one,
        embedded.start(VERSION, tmp_path / "2", name="two", cluster="three", join=[one]) as two,
        embedded.start(VERSION, tmp_path / "3", name="three", cluster="three", join=[one, two]),
    ):
        call("PUT", f"{one.url}/notes", {"settings": {"number_of_replicas": 2}})
        health = call(
            "GET",
            f"{two.url}/_cluster/health?wait_for_status=green&wait_for_nodes=3&timeout=30s",
        )
        assert (health["status"], health["number_of_nodes"]) == ("green", 3)


def test_no_orphan(tmp_path: Path) -> None:
    """A node ends when its parent is killed in a way that leaves it no time to clean up."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, VERSION, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        node = watch([int(parent.stdout.readline())])
        parent.kill()
        wait_for_ends(node)


def test_port_is_taken(tmp_path: Path) -> None:
    """A port that somebody else has is told, with the log that says more."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            embedded.start(VERSION, tmp_path, http_port=port)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert str(caught.value).endswith("Address already in use")
    assert f"its log says more: {tmp_path}/logs/node.log" == caught.value.remedy


def test_data_is_in_use(tmp_path: Path) -> None:
    """Two nodes never share a data folder: the second one says what is in its way."""
    with embedded.start(VERSION, tmp_path), pytest.raises(ConfigError) as caught:
        embedded.start(VERSION, tmp_path)
    assert "the embedded Elasticsearch does not start" in str(caught.value)


def test_child_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ends without a word is told with its exit status and its log."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:NoSuchOption")
    with pytest.raises(ConfigError) as caught:
        embedded.start(VERSION, tmp_path)
    assert str(caught.value) == "the embedded Elasticsearch ended while it started (exit status 1)"
    assert f"its log says why: {tmp_path}/logs/node.log" == caught.value.remedy
    assert "NoSuchOption" in (tmp_path / "logs" / "node.log").read_text()
