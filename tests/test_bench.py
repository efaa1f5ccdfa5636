"""The comparison of ``make bench``, in what needs neither nginx nor time."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen
from xml.etree import ElementTree as ET

import pytest
from processes import free_ports
from registries import Cluster

from bench import bulk, held, meters
from bench.cases import Outcome, Quantity, Sample, in_turn
from bench.children import missing, run
from bench.cluster import one_user
from bench.contestants import CADDY, DIRECT, HAPROXY, NGINX, OURS, Setup, running
from bench.deliveries import Senders, sending
from bench.plot import svg
from bench.ratios import Spread, ratio
from bench.report import markdown, missed
from signals_proxy.errors import ConfigError
from signals_proxy.secret import Secret

MIB = 1024 * 1024


def outcome(costs: Mapping[str, Sequence[float]], limits: Mapping[str, float]) -> Outcome:
    """Costs by contestant, and twice as many requests directly as through anybody."""
    samples = {name: [Sample(cost, 50) for cost in each] for name, each in costs.items()}
    direct = [Sample(None, 100) for _ in samples[NGINX]]
    return Outcome("GET", Quantity.CPU, {DIRECT: direct, **samples}, limits)


GET = outcome(
    {NGINX: [1, 2, 4], HAPROXY: [1, 2, 4], CADDY: [8, 8, 8], OURS: [1.5, 2.5, 4]},
    {NGINX: 1.2, CADDY: 0.4},
)


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[int]:
    """The port of the upstream that stands behind everybody."""
    [port] = free_ports(1)
    with run([sys.executable, "-m", "bench.upstream", str(port)], tmp_path, port):
        yield port


class TestFigures:
    def test_paired(self) -> None:
        """A ratio is made within its round, so that a machine that slows down changes nothing."""
        assert ratio([1, 20, 300], [1, 10, 100]) == Spread(1.5, 2.0, 2.5)

    def test_one_round(self) -> None:
        assert ratio([3], [2]) == Spread(1.5, 1.5, 1.5)

    def test_in_turn(self) -> None:
        """Who comes first changes from round to round, and the first round only warms up."""
        seen: list[str] = []

        def measure(name: str) -> Sample:
            seen.append(name)
            return Sample(len(seen))

        samples = in_turn(("a", "b", "c"), 3, measure)
        assert seen == [*"cab", *"abc", *"bca", *"cab"]
        assert [each.cost for each in samples["a"]] == [4, 9, 11]


class TestReport:
    def test_table(self) -> None:
        text = markdown([GET], {"system": "Linux 6"})
        assert "| system | Linux 6 |\n" in text
        ours = "**1.25 (1.12 to 1.38)** | ≤ 1.2"
        assert f"| GET | CPU | 1.00 | 4.00 |  | {ours} |\n" in text
        assert "| GET | CPU | **0.312 (0.250 to 0.406)** | ≤ 0.4 |\n" in text
        assert "| GET | 0.500 |  | 0.500 | 0.500 | 0.500 |\n" in text

    def test_missed(self) -> None:
        """A target that was missed is told with its figure, one that was met is not."""
        told = "GET, CPU: 1.25 (1.12 to 1.38) x nginx, and the target is 1.2."
        assert list(missed([GET])) == [told]
        assert f"- {told}\n" in markdown([GET], {})
        assert "None.\n" in markdown([outcome({NGINX: [1], OURS: [1]}, {NGINX: 1})], {})

    def test_plot(self) -> None:
        """The plot is well-formed, also where a title needs escapes; a mark a contestant."""
        titled = Outcome("<GET> & co", GET.quantity, GET.samples, GET.limits)
        root = ET.fromstring(svg([titled]))
        space = "{http://www.w3.org/2000/svg}"
        assert "<GET> & co, CPU" in [each.text for each in root.iter(f"{space}text")]
        legend = 4
        assert len(list(root.iter(f"{space}circle"))) == legend + 3


def test_missing() -> None:
    """What is not installed is named in one sentence, with the packages that bring it."""
    error = missing(["no-such-program", "sh"])
    assert isinstance(error, ConfigError)
    assert error.message == "the comparison needs programs that are not installed: no-such-program"
    assert error.remedy == "on Debian and Ubuntu: apt install no-such-program"
    assert missing(["sh"]) is None


def test_does_not_start(tmp_path: Path) -> None:
    """A contestant that ends instead of listening is told with what it said."""
    command = [sys.executable, "-c", "raise SystemExit('no such setting')"]
    with (
        pytest.raises(ConfigError, match="does not start: no such setting"),
        run(command, tmp_path, 1),
    ):
        raise AssertionError


@pytest.mark.parametrize("chunked", [False, True])
def test_ours(tmp_path: Path, upstream: int, chunked: bool) -> None:
    """The proxy starts with its configuration of the comparison, and large bodies pass it."""
    with running([OURS], Setup(tmp_path, upstream)) as who:
        ours = who[OURS]
        assert ours.process_id is not None
        before = meters.cpu_s(ours.process_id)
        for move in (bulk.down, bulk.up):
            assert move(ours.port, 4 * MIB, chunked=chunked) > 0
        assert meters.cpu_s(ours.process_id) > before
        with held.stalled(ours.port, 2), held.idle(ours.port, 2):
            assert meters.memory_size(ours.process_id) > MIB


def test_application(tmp_path: Path, upstream: int, canary: Callable[[str], str]) -> None:
    """The account application alone starts with the proxy's configuration, and knows its users."""
    authorization = one_user(Secret(canary("password")))
    [port] = free_ports(1)
    with running([OURS], Setup(tmp_path, upstream, authorization=authorization)) as who:
        config = who[OURS].config
        assert config is not None
        command = [sys.executable, "-m", "bench.application", str(config), str(port)]
        with (
            run(command, config.parent, port),
            pytest.raises(HTTPError) as raised,
            urlopen(f"http://127.0.0.1:{port}/_signals/account/email/a"),
        ):
            raise AssertionError
    with raised.value as answer:
        assert answer.status == 401


def test_senders(tmp_path: Path, elasticsearch: str) -> None:
    """Messages are under way when they are said to be, and through when they are said to be."""
    port = int(elasticsearch.rpartition(":")[2])
    try:
        with running([OURS], Setup(tmp_path, port)) as who:
            config = who[OURS].config
            assert config is not None
            audit = config.parent / "audit.json"
            with Senders(4, 100, 4).ready(who[OURS]) as control, sending(control):
                assert audit.read_text().count("account/send") == 0
            lines = [line for line in audit.read_text().splitlines() if "account/send" in line]
        assert len(lines) == 4
        assert all('"signals_proxy.result": "sent"' in line for line in lines)
    finally:
        Cluster(elasticsearch, ".signals_accounts").ask(
            "DELETE", "/{index},{index}_health?ignore_unavailable=true"
        )
