"""OpenSearch's own REST tests: what passes on a node passes through the proxy as well."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from opensearch import ADMIN, OpenSearch
from opensearch import VERSION as NODE_VERSION
from served import configure, serve
from yaml_suites import Runner, fetched, suites

FOLDERS = {"bulk", "cat.count", "cat.health", "get", "index", "scroll"}
LEAST = 60
"""How many of the 76 tests pass, for certain: a runner that passes none would show nothing."""
TEMPLATES = ("_template", "_index_template", "_component_template")


def indices(runner: Runner) -> set[str]:
    """Return the names of all indices."""
    _, answer = runner.ask("GET", "/_cat/indices?h=index&format=json&expand_wildcards=all")
    return {each["index"] for each in answer}


def results(urls: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each test's name, and why it fails at each address."""
    with fetched() as jar:
        specs = {
            Path(path).stem: json.loads(jar.read(path))[Path(path).stem]
            for path in jar.namelist()
            if "/api/" in path and path.endswith(".json") and not Path(path).stem.startswith("_")
        }
        version = tuple(map(int, NODE_VERSION.split(".")))
        runners = [Runner(url, ADMIN.authorization, specs, version) for url in urls]
        before = indices(runners[0])
        for suite in suites(jar, FOLDERS):
            failures = []
            for runner in runners:
                failures.append(runner.run(suite))
                if left := indices(runners[0]) - before:
                    runners[0].ask("DELETE", "/" + quote(",".join(left)))
                for kind in TEMPLATES if "template" in str(suite.steps) else ():
                    runners[0].ask("DELETE", f"/{kind}/test*")
            yield suite.name, failures
        for runner in runners:
            runner.close()


@pytest.mark.timeout(300)
async def test_what_passes_directly_passes(opensearch: OpenSearch, tmp_path: Path) -> None:
    """Every test that the node passes it passes behind the proxy, too."""
    async with serve(configure(tmp_path, opensearch.url)) as served:
        address = await served.served()
        urls = [opensearch.url, f"http://127.0.0.1:{address.port}"]
        found = await asyncio.to_thread(lambda: list(results(urls)))
    passed = [(name, proxied) for name, (direct, proxied) in found if not direct]
    assert [it for it in passed if it[1]] == []
    assert len(passed) >= LEAST
