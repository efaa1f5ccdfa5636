"""Several nodes on real sockets: nodes that die, hang and return, names that move, and full places."""

import asyncio
import contextlib
import errno
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest

from signals_proxy.errors import Lost, NotConnected, Rejected, TimedOut
from signals_proxy.relay import Cluster, Limits, Relay, Upstream
from signals_proxy.relay.errand import ask as errand
from signals_proxy.relay.node import NodeConnection
from signals_proxy.relay.nodes import QUIET_S
from signals_proxy.relay.pool import IDLE_S

MEBIBYTE = 1024 * 1024


class Recorder:
    """An upstream that counts what it executes, and dies, hangs and returns as it is told."""

    def __init__(self) -> None:
        self.port = 0
        self.executed: Counter[bytes] = Counter()
        self.unanswered = 0
        self.works = asyncio.Event()
        self.works.set()
        self.connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, host: str = "127.0.0.1") -> None:
        self._server = await asyncio.start_server(self._talk, host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.executed[head.split(b" ")[1]] += 1
                self.unanswered += 1
                await self.works.wait()
                self.unanswered -= 1
                if writer.is_closing():
                    break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        self.connections.discard(writer)
        writer.close()

    def stop_listening(self) -> None:
        assert self._server is not None
        self._server.close()

    def die(self) -> None:
        self.stop_listening()
        for writer in self.connections:
            writer.transport.abort()


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until it is true; a test that waits in vain is ended by its own time limit."""
    while not true():
        await asyncio.sleep(0.005)


@pytest.fixture
async def nodes() -> AsyncIterator[list[Recorder]]:
    """Three nodes."""
    nodes = [Recorder() for _ in range(3)]
    for node in nodes:
        await node.start()
    yield nodes
    for node in nodes:
        node.works.set()
        node.die()
    await eventually(lambda: not any(node.connections for node in nodes))


Make = Callable[..., Cluster]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Make clusters, of which no connection is left at the end."""
    made = []

    def cluster(*urls: str, connect_timeout_s: float = 5.0, **options: Any) -> Cluster:
        upstream = Upstream(hosts=urls, connect_timeout_s=connect_timeout_s)
        made.append(Cluster(upstream, None, MEBIBYTE, **options))
        return made[-1]

    yield cluster
    for each in made:
        each.close()
    await eventually(lambda: not any(map(len, made)))
    assert [node.in_flight for each in made for node in each._nodes.all if node.in_flight] == []


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Client]]


@contextlib.asynccontextmanager
async def relayed(cluster: Cluster) -> AsyncIterator[Connect]:
    """Serve a cluster through a relay, whose clock ticks, and give what connects a client."""
    relay = Relay(lambda _: cluster, [cluster], Limits())
    server = await asyncio.get_running_loop().create_server(relay, "127.0.0.1", 0)
    writers = []

    async def client() -> Client:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writers.append(writer)
        return reader, writer

    try:
        yield client
    finally:
        for writer in writers:
            writer.close()
        server.close()
        relay.close()
        await eventually(lambda: len(relay) == 0)


async def ask(client: Client, request: bytes) -> bytes:
    """Return the status that a request is answered with."""
    reader, writer = client
    writer.write(request + b" HTTP/1.1\r\nHost: c\r\nContent-Length: 0\r\n\r\n")
    return (await reader.readuntil(b"\r\n\r\n"))[9:12]


def give_back(cluster: Cluster, connection: NodeConnection) -> None:
    """Let a connection be free again, as at the end of an answer."""
    (pool,) = (pool for pool in cluster._pools if connection in pool._all)
    pool.take_back(connection)


async def test_requests_go_to_the_node_with_the_fewest(nodes: list[Recorder], make: Make) -> None:
    """Requests that are open at the same time are shared evenly, the idle connections among them."""
    cluster = make(*(node.url for node in nodes))
    async with relayed(cluster) as connect:
        clients = [await connect() for _ in range(12)]
        for _ in range(2):
            for node in nodes:
                node.works.clear()
            answers = [asyncio.create_task(ask(client, b"PUT /a")) for client in clients]
            await eventually(lambda: [node.unanswered for node in nodes] == [4, 4, 4])
            assert [node.in_flight for node in cluster._nodes.all] == [4, 4, 4]
            for node in nodes:
                node.works.set()
            assert await asyncio.gather(*answers) == [b"200"] * 12
            assert len(cluster) == 12
        assert [node.in_flight for node in cluster._nodes.all] == [0, 0, 0]


@pytest.mark.parametrize(("count", "clients"), [(2, 1), (2, 4), (3, 4), (1, 4)])
async def test_kept_connections_are_used(
    nodes: list[Recorder], make: Make, count: int, clients: int
) -> None:
    """Among several nodes, too, a client's next request finds a connection that is there already."""
    cluster = make(*(node.url for node in nodes[:count]))
    async with relayed(cluster) as connect:
        several = [await connect() for _ in range(clients)]
        for _ in range(50):
            await asyncio.gather(*(ask(it, b"GET /") for it in several))
        assert len(cluster) <= count * clients
        assert all(node.executed.total() for node in nodes[:count])


async def test_a_node_that_refuses_is_left_out(nodes: list[Recorder], make: Make) -> None:
    """Nobody notices a node that refuses connections, and the connections to it are closed."""
    cluster = make(nodes[0].url, nodes[1].url)
    for connection in [await cluster.connect(None) for _ in range(2)]:
        give_back(cluster, connection)
    await eventually(lambda: len(nodes[0].connections) == 1)
    nodes[0].stop_listening()
    for _ in range(3):
        assert (await cluster.connect(None)).default_host == nodes[1].url[7:].encode()
    assert [node.is_dead for node in cluster._nodes.all] == [True, False]
    await eventually(lambda: len(nodes[0].connections) == 0)


@contextlib.contextmanager
def silent(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Yield the port of a server whose backlog is full."""
    with socket.create_server((host, port), backlog=0) as server, contextlib.ExitStack() as full:
        for _ in range(2):  # the kernel answers one more than the backlog, then nobody
            one = full.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield server.getsockname()[1]


async def test_a_node_that_is_silent_is_left_out(nodes: list[Recorder], make: Make) -> None:
    """A node that does not take connections costs whoever tries it first some time, and nobody else."""
    with silent() as port:
        url = f"http://127.0.0.1:{port}"
        cluster = make(url, nodes[0].url, connect_timeout_s=0.2)
        for _ in range(3):
            assert (await cluster.connect(None)).default_host == nodes[0].url[7:].encode()
        assert [node.is_dead for node in cluster._nodes.all] == [True, False]
        alone = make(url, url, connect_timeout_s=0.05)
        with pytest.raises(TimedOut, match=r"in 0.05 s"):
            await alone.connect(None)


async def test_all_dead_are_still_tried(nodes: list[Recorder], make: Make) -> None:
    """While all nodes are dead every request tries them all, so the first that is back serves it."""
    for node in nodes:
        node.stop_listening()
    cluster = make(*(node.url for node in nodes))
    for _ in range(2):
        with pytest.raises(NotConnected, match="no connection to 127"):
            await cluster.connect(None)
    assert all(node.is_dead for node in cluster._nodes.all)
    await nodes[2].start()
    assert (await cluster.connect(None)).default_host == nodes[2].url[7:].encode()
    assert [node.is_dead for node in cluster._nodes.all] == [True, True, False]


async def test_a_node_is_killed_under_load_and_returns(nodes: list[Recorder], make: Make) -> None:
    """Only what was in flight on the dead node fails; no write is executed twice, none is lost."""
    cluster = make(*(node.url for node in nodes))
    answers: dict[bytes, bytes] = {}
    over = False

    async def write(client: Client, number: int) -> None:
        count = 0
        while not over:
            target = b"/%d/%d" % (number, count)
            count += 1
            answers[target] = await ask(client, b"PUT " + target)
            if answers[target] != b"200":
                client = await connect()

    async with relayed(cluster) as connect:
        writing = [asyncio.create_task(write(await connect(), it)) for it in range(24)]
        await eventually(lambda: all(node.executed.total() > 100 for node in nodes))
        nodes[1].works.clear()
        await eventually(lambda: nodes[1].unanswered > 0)
        nodes[1].die()
        dead = cluster._nodes.all[1]
        await eventually(lambda: dead.is_dead)
        nodes[1].works.set()
        await nodes[1].start()
        before = nodes[1].executed.total()
        await eventually(lambda: not dead.is_dead and nodes[1].executed.total() > before + 100)
        over = True
        await asyncio.gather(*writing)
    failed = [target for target, status in answers.items() if status != b"200"]
    assert {answers[target] for target in failed} == {b"502"}
    # Nobody met the dead node twice: what was sent after its death went elsewhere.
    assert Counter(target.split(b"/")[1] for target in failed).most_common(1)[0][1] == 1
    executed: Counter[bytes] = sum((node.executed for node in nodes), Counter())
    assert [it for it, status in answers.items() if status == b"200" and executed[it] != 1] == []
    assert [it for it, times in executed.items() if it != b"/" and times > 1] == []


async def test_a_node_that_hangs_is_left_out(nodes: list[Recorder], make: Make) -> None:
    """A node that takes requests and answers none is found out by a probe; its requests are kept."""
    cluster = make(nodes[0].url, nodes[1].url, connect_timeout_s=0.1)
    nodes[0].works.clear()
    async with relayed(cluster) as connect:
        answers = [asyncio.create_task(ask(await connect(), b"PUT /a")) for _ in range(2)]
        await eventually(lambda: nodes[0].unanswered == 1 and nodes[1].unanswered == 0)
        hanging = cluster._nodes.all[0]
        cluster.tick(asyncio.get_running_loop().time() + QUIET_S + 0.1)
        await eventually(lambda: hanging.is_dead)
        client = await connect()
        for _ in range(4):
            assert await ask(client, b"PUT /b") == b"200"
        assert (nodes[0].executed[b"/b"], nodes[1].executed[b"/b"]) == (0, 4)
        nodes[0].works.set()
        assert await asyncio.gather(*answers) == [b"200", b"200"]


async def test_a_node_that_breaks_connections_is_probed(nodes: list[Recorder], make: Make) -> None:
    """A node that lost a connection in use is to be asked; one whose client left is not."""
    cluster = make(nodes[0].url, nodes[1].url)
    node = cluster._nodes.all[0]
    nodes[0].works.clear()
    for leaves in (True, False):
        before = nodes[0].executed.total()
        asking = [
            asyncio.create_task(errand(cluster, b"PUT /a HTTP/1.0\r\n\r\n", b"")) for _ in range(2)
        ]
        await eventually(lambda before=before: nodes[0].executed.total() > before)
        if leaves:
            for task in asking:
                task.cancel()
        else:
            for writer in nodes[0].connections:
                writer.transport.abort()
        outcome = await asyncio.gather(*asking, return_exceptions=True)
        assert any(isinstance(it, Lost) for it in outcome) is not leaves
        await eventually(lambda: node.in_flight == 0)
        assert node.is_suspect is not leaves


async def test_a_kept_connection_that_has_just_ended_is_no_answer(make: Make) -> None:
    """A probe that met one that the node was about to close is made once more, on a new one."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (b"HTTP/1.1 503 \r\ncontent-length: 0\r\n\r\n", b""):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    cluster = make(url, url)
    await errand(cluster._pools[0], b"GET / HTTP/1.0\r\n\r\n", b"")
    assert len(cluster) == 1
    node = cluster._nodes.all[0]
    node.is_suspect = True
    cluster.tick(cluster._now)
    assert node.is_probed
    await eventually(lambda: not node.is_probed)
    assert not node.is_dead
    server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_no_descriptor_is_left(nodes: list[Recorder], make: Make, host: str) -> None:
    """What this process lacks is said of no node, neither by a request nor by a probe."""
    cluster = make(*(f"http://{host}:{node.port}" for node in nodes))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as taken:
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        with socket.socket() as lowest:
            few = lowest.fileno() + 8
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.enter_context(contextlib.closing(socket.socket()))
        with pytest.raises(NotConnected, match="no connection to"):
            await cluster.connect(None)
        cluster._nodes.all[1].is_suspect = True
        cluster.tick(cluster._now)
        await eventually(lambda: not cluster._tasks)
        assert [node.is_dead for node in cluster._nodes.all] == [False] * 3
    assert await cluster.connect(None)


async def test_nothing_is_probed_while_the_cluster_is_closed(
    nodes: list[Recorder], make: Make
) -> None:
    """No connection is made for as long as that is not allowed."""
    cluster = make(nodes[0].url, nodes[1].url)
    cluster.closed_because = "a reason"
    cluster._nodes.unreachable(cluster._nodes.all[0], 0)
    cluster.tick(asyncio.get_running_loop().time() + 100)
    assert (cluster._tasks, len(cluster)) == (set(), 0)
    with pytest.raises(NotConnected, match="a reason"):
        await cluster.connect(None)


# Names.


async def test_every_connection_looks_the_name_up(nodes: list[Recorder], make: Make) -> None:
    """All addresses of a name are tried, and the next connection goes where the name is by then."""
    node = nodes[0]
    asked: list[tuple[str, int]] = []
    addresses = ["127.0.0.9", "127.0.0.1"]  # nobody listens on the first

    async def resolve(name: str, port: int) -> Sequence[str]:
        asked.append((name, port))
        return addresses

    cluster = make(f"http://es.test:{node.port}", resolve=resolve)
    first = await cluster.connect(None)
    assert (first.default_host, peer(first)) == (f"es.test:{node.port}".encode(), "127.0.0.1")
    moved = Recorder()
    moved.port = node.port
    await moved.start("127.0.0.2")
    addresses[:] = ["127.0.0.2"]
    second = await cluster.connect(None)
    assert peer(second) == "127.0.0.2"
    assert asked == [("es.test", node.port)] * 2
    for connection in (first, second):
        give_back(cluster, connection)
    cluster.tick(asyncio.get_running_loop().time() + IDLE_S - 1)
    assert len(cluster) == 2
    cluster.tick(cluster._looked_up + IDLE_S)  # none is idle for more than that
    await eventually(lambda: len(cluster) == 1)
    assert cluster.idle(None) is second
    moved.die()


def peer(connection: NodeConnection) -> object:
    """Return the address of the other end."""
    assert connection.transport is not None
    return connection.transport.get_extra_info("peername")[0]


async def test_a_name_that_cannot_be_looked_up(nodes: list[Recorder], make: Make) -> None:
    """It is as a node that cannot be reached; the connections that there are stay."""
    answer: list[str] | OSError | None = ["127.0.0.1"]

    async def resolve(_name: str, _port: int) -> Sequence[str]:
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, OSError):
            raise answer
        return answer or []

    cluster = make(f"http://es.test:{nodes[0].port}", resolve=resolve, connect_timeout_s=0.05)
    give_back(cluster, await cluster.connect(None))
    for answer, error, said in (
        (None, TimedOut, r"^no address for es\.test in 0\.05 s$"),
        (
            socket.gaierror(-2, "unknown"),
            NotConnected,
            r"^no connection to es\.test:\d+: .*unknown",
        ),
        ([], NotConnected, r"^no connection to es\.test:\d+: no address$"),
    ):
        with pytest.raises(error, match=said):
            await cluster.connect(None)
        if answer != []:
            await cluster._pools[0].drop_moved()
            assert len(cluster) == 1
    impossible = make("http://a..b:1")
    with pytest.raises(NotConnected, match=r"^no connection to a\.\.b:1: "):
        await impossible.connect(None)


async def test_one_time_for_all_addresses(nodes: list[Recorder], make: Make) -> None:
    """The addresses of a name share the time to connect: a silent one leaves the others theirs."""
    addresses = ["127.0.0.2", "127.0.0.1"]

    async def resolve(_name: str, _port: int) -> Sequence[str]:
        return addresses

    with silent("127.0.0.2", nodes[0].port) as port:
        cluster = make(f"http://es.test:{port}", resolve=resolve, connect_timeout_s=0.4)
        assert peer(await cluster.connect(None)) == "127.0.0.1"
        addresses[:] = ["127.0.0.2"] * 9
        clock = asyncio.get_running_loop().time
        began = clock()
        with pytest.raises(TimedOut, match=r"^no connection to es\.test:\d+ in 0\.4 s$"):
            await cluster.connect(None)
        assert clock() - began < 8 * 0.4 / 2


async def test_who_connects_at_the_same_time_shares_a_look_up(
    nodes: list[Recorder], make: Make
) -> None:
    """A crowd does not wait until the system has looked the name up for each; one that fails is told
    to all; and many addresses have moved nobody.
    """
    asked = 0
    known = asyncio.Event()
    answer: list[str] | OSError = ["127.0.0.1"]

    async def resolve(_name: str, _port: int) -> Sequence[str]:
        nonlocal asked
        asked += 1
        await known.wait()
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def crowd() -> list[Any]:
        known.clear()
        connecting = [asyncio.create_task(cluster.connect(None)) for _ in range(5)]
        await eventually(lambda: cluster._pools[0].node.in_flight == before + 5)
        connecting.pop().cancel()
        known.set()
        return await asyncio.gather(*connecting, return_exceptions=True)

    cluster = make(f"http://es.test:{nodes[0].port}", resolve=resolve)
    before = 0
    connections = await crowd()
    assert ([*map(peer, connections)], asked) == (["127.0.0.1"] * 4, 1)
    before, answer = 4, socket.gaierror(-2, "unknown")
    assert ([*map(type, await crowd())], asked) == ([NotConnected] * 4, 2)
    give_back(cluster, connections[0])
    answer = [f"127.0.0.{it}" for it in range(9, 0, -1)]
    await cluster._pools[0].drop_moved()
    assert cluster.idle(None) is connections[0]


async def test_the_system_s_own_names(make: Make) -> None:
    """Without another resolver the system's is asked, which knows this machine by both protocols."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cluster = make(f"http://localhost:{listener.getsockname()[1]}")
        assert peer(await cluster.connect(None)) == "127.0.0.1"


# Places.


async def in_line(cluster: Cluster, count: int) -> list[asyncio.Task[NodeConnection]]:
    """Have so many more wait for a place."""
    before = len(cluster._waiting)
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(cluster.connect(None)))
        await eventually(lambda wanted=before + number + 1: len(cluster._waiting) == wanted)
    return tasks


async def test_who_waits_for_a_place_is_served_in_turn(nodes: list[Recorder], make: Make) -> None:
    """A place that is free is the first one's who waits, with its connection, and no newcomer's."""
    cluster = make(nodes[0].url, nodes[1].url, places=2)
    held = [await cluster.connect(None) for _ in range(4)]
    assert [node.in_flight for node in cluster._nodes.all] == [2, 2]
    waiting = await in_line(cluster, 4)
    with pytest.raises(Rejected, match=r"^every node is busy, and 4 requests wait already$"):
        await cluster.connect(None)
    for number, connection in enumerate(held):
        give_back(cluster, connection)
        assert cluster.idle(None) is None
        assert await waiting[number] is connection
    assert ([node.in_flight for node in cluster._nodes.all], len(cluster)) == ([2, 2], 4)
    # A connection that ends, rather than being free again, gives its place up as well.
    (last,) = await in_line(cluster, 1)
    held[0].drop()
    assert await last not in held


async def test_a_node_that_is_back_has_places(nodes: list[Recorder], make: Make) -> None:
    """Who waits is served by a node as soon as its probes were answered."""
    cluster = make(nodes[0].url, nodes[1].url, places=1)
    back, now = cluster._nodes.all[0], asyncio.get_running_loop().time()
    cluster._nodes.unreachable(back, now)
    await cluster.connect(None)
    (waiting,) = await in_line(cluster, 1)
    for answers in (1, 2):
        cluster.tick(now + 2 * answers)
        await eventually(lambda answers=answers: back.answers == answers)
    assert (await waiting).default_host == nodes[0].url[7:].encode()


async def test_who_waits_is_given_no_node_that_he_has_tried(
    nodes: list[Recorder], make: Make
) -> None:
    """Also if all nodes are dead by then: he waits for the place of one that he has not."""
    nodes[0].stop_listening()
    cluster = make(nodes[0].url, nodes[1].url, places=1)
    dead, busy = cluster._nodes.all
    held = await cluster._pools[1].connect(None)
    (waiting,) = await in_line(cluster, 1)
    assert dead.is_dead
    cluster._nodes.unreachable(busy, cluster._now)
    cluster._changed(busy)
    give_back(cluster, held)
    assert await waiting is held
    # He who has tried none is given a dead one rather than no place at all.
    cluster._nodes._revive(busy)
    (other,) = await in_line(cluster, 1)
    await nodes[0].start()
    cluster._nodes.unreachable(busy, cluster._now)
    cluster._changed(busy)
    assert (await other).default_host == nodes[0].url[7:].encode()


async def test_who_waits_is_not_given_the_node_that_has_just_failed(
    nodes: list[Recorder], make: Make
) -> None:
    """Its place is nobody's: first it is known to be dead."""
    asked, known = 0, asyncio.Event()

    async def resolve(_name: str, _port: int) -> Sequence[str]:
        nonlocal asked
        asked += 1
        await known.wait()
        return []

    cluster = make("http://es.test:1", nodes[0].url, places=1, resolve=resolve)
    held = await cluster._pools[1].connect(None)
    failing = asyncio.create_task(cluster.connect(None))
    await eventually(lambda: asked == 1)
    (waiting,) = await in_line(cluster, 1)
    known.set()
    await eventually(lambda: len(cluster._waiting) == 2)
    give_back(cluster, held)
    assert await waiting is held
    give_back(cluster, held)
    assert await failing is held
    assert asked == 1


@pytest.mark.parametrize("by", ["lack", "client"])
async def test_who_waits_is_given_the_place_of_who_gave_up(make: Make, by: str) -> None:
    """A call that ends without saying anything of the node leaves its place to the next."""
    known = asyncio.Event()

    async def resolve(_name: str, _port: int) -> Sequence[str]:
        await known.wait()
        raise OSError(errno.EMFILE, "none is left")

    cluster = make("http://es.test:1", places=1, resolve=resolve)
    first = asyncio.create_task(cluster.connect(None))
    await eventually(lambda: cluster._nodes.all[0].in_flight == 1)
    (second,) = await in_line(cluster, 1)
    if by == "client":
        first.cancel()
        await eventually(lambda: len(cluster._waiting) == 0)
    known.set()
    with pytest.raises(NotConnected, match="none is left"):
        await second
    assert await asyncio.gather(first, return_exceptions=True)


async def test_who_waits_for_a_new_connection(nodes: list[Recorder], make: Make) -> None:
    """A request that is repeated, as a kept connection failed it, gets none that was kept."""
    cluster = make(nodes[0].url, places=1)
    held = await cluster.connect(None)
    waiting = asyncio.create_task(cluster.connect(None, new=True))
    await eventually(lambda: len(cluster._waiting) == 1)
    give_back(cluster, held)
    assert (await waiting).served == 0
    assert await waiting is not held


async def test_who_waits_for_a_place_in_vain(nodes: list[Recorder], make: Make) -> None:
    """The wait is bounded, and whoever gives up takes no place."""
    cluster = make(nodes[0].url, places=1, place_timeout_s=0.05)
    held = await cluster.connect(None)
    with pytest.raises(NotConnected, match=r"^every node is busy: no place in 0.05 s$"):
        await cluster.connect(None)
    give_back(cluster, held)
    assert cluster.idle(None) is held
    assert len(cluster._waiting) == 0


@pytest.mark.parametrize("moment", ["waiting", "served"])
async def test_who_leaves_gives_the_place_up(
    nodes: list[Recorder], make: Make, moment: str
) -> None:
    """A client that leaves while it waits, or as its turn comes, leaves the place to the next."""
    cluster = make(nodes[0].url, places=2)
    held = [await cluster.connect(None) for _ in range(2)]
    first, second = await in_line(cluster, 2)
    if moment == "waiting":
        first.cancel()
        give_back(cluster, held[0])
    else:
        give_back(cluster, held[0])
        first.cancel()
    assert await second is held[0]
    assert first.cancelled()
    assert cluster._nodes.all[0].in_flight == 2


async def test_busy_nodes_are_told_in_elasticsearch_s_shape(
    nodes: list[Recorder], make: Make
) -> None:
    """Through the relay it is a 503 after the wait, and a 429 if too many wait."""
    nodes[0].works.clear()
    for_long, briefly = (
        make(nodes[0].url, places=1, place_timeout_s=timeout_s) for timeout_s in (60, 0.05)
    )
    async with relayed(briefly) as connect:
        first = asyncio.create_task(ask(await connect(), b"PUT /a"))
        await eventually(lambda: nodes[0].unanswered == 1)
        assert await ask(await connect(), b"PUT /b") == b"503"
        nodes[0].works.set()
        assert await first == b"200"
    assert nodes[0].executed == {b"/a": 1}
    nodes[0].works.clear()
    async with relayed(for_long) as connect:
        first = asyncio.create_task(ask(await connect(), b"PUT /a"))
        await eventually(lambda: nodes[0].unanswered == 1)
        second = asyncio.create_task(ask(await connect(), b"PUT /b"))
        await eventually(lambda: len(for_long._waiting) == 1)
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: c\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"\r\nretry-after: 1\r\n" in answer
        assert b'"type":"es_rejected_execution_exception"' in answer
        nodes[0].works.set()
        assert [await first, await second] == [b"200", b"200"]
