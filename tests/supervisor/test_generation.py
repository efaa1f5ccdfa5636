"""Workers that are started, kept and stopped together."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from served import LIMIT_S
from stub_worker import FAILS, SERVES, STUBBORN, News, command, program

from signals_proxy import listeners
from signals_proxy.config import Address
from signals_proxy.errors import ConfigError
from signals_proxy.supervisor.generation import Generation, pause_before
from signals_proxy.supervisor.process import WorkerProcess
from signals_proxy.telemetry.metrics import ledger
from signals_proxy.telemetry.status import Order

if TYPE_CHECKING:
    import socket

Start = Callable[..., Generation]


@pytest.fixture
async def generation(news: News) -> AsyncIterator[Start]:
    """Return a function that makes a generation of workers which run a piece of Python."""
    made: list[Generation] = []
    sockets: list[list[socket.socket]] = []

    def make(
        body: str, workers: int = 1, *, python: str = sys.executable, limit_s: float = LIMIT_S
    ) -> Generation:
        bound = listeners.bind([Address("127.0.0.1", 0)], workers)
        sockets.extend(listeners.spread(bound, workers))
        made.append(
            Generation(command(body, python), sockets, [[]] * workers, b"", ledger(), news, limit_s)
        )
        return made[-1]

    yield make
    for each in made:
        await each.stop(0)
    for shared in sockets:
        for one in shared:
            one.close()


class TestGeneration:
    async def test_starts_and_drains(self, generation: Start) -> None:
        """All workers serve once it has started, and none lives once it has stopped."""
        workers = generation(SERVES, 2)
        await workers.start()
        assert [worker.serves for worker in workers.workers] == [True, True]
        await workers.stop(LIMIT_S)
        assert [worker.lives for worker in workers.workers] == [False, False]

    async def test_configuration_error(self, generation: Start) -> None:
        """What a worker finds wrong with its configuration is told as the error that it was."""
        workers = generation(FAILS, 2)
        with pytest.raises(ConfigError) as raised:
            await workers.start()
        error = raised.value
        found = (error.message, error.remedy, error.file, error.line, error.path)
        assert found == ("no", "do", Path("/f"), 3, "a.b")
        assert [worker.lives for worker in workers.workers] == [False, False]

    async def test_ends_without_a_word(self, generation: Start) -> None:
        """A worker that ends before it serves ends the start."""
        with pytest.raises(ConfigError, match=r"^a worker ended before it served$"):
            await generation("pass").start()

    async def test_too_slow(self, generation: Start) -> None:
        """A worker that does not serve in time is killed, and the start ends."""
        with pytest.raises(ConfigError, match=r"^a worker ended before it served$"):
            await generation("signal.pause()", limit_s=0.1).start()

    async def test_no_program(self, generation: Start, tmp_path: Path) -> None:
        """A worker that cannot even be started ends the start."""
        workers = generation("", python=str(tmp_path / "none"))
        with pytest.raises(ConfigError, match=r"^no worker can be started: No such file"):
            await workers.start()

    async def test_replaces_the_dead(self, generation: Start, news: News) -> None:
        """A worker that dies is replaced, again and again."""
        workers = generation(SERVES)
        await workers.start()
        for _ in range(3):
            dead = workers.workers[0]
            dead.kill()
            assert await dead.ended() == -signal.SIGKILL
            await news.until(lambda: workers.workers[0].serves)

    async def test_goes_on_trying(self, generation: Start, news: News, tmp_path: Path) -> None:
        """A system that gives no further process is asked again until it does."""
        python = program(tmp_path)
        workers = generation(SERVES, python=str(python))
        await workers.start()
        python.unlink()
        dead = workers.workers[0]
        dead.kill()
        await news.event("no worker can be started")
        assert not dead.lives
        program(tmp_path)
        await news.until(lambda: workers.workers[0].serves)
        assert workers.workers[0] is not dead
        assert workers._ledger.started == 2  # what could not be started is none

    async def test_stops_while_it_waits_to_replace(
        self, generation: Start, news: News, tmp_path: Path
    ) -> None:
        """A stop does not wait for the pause before the next try to end."""
        python = program(tmp_path)
        workers = generation(SERVES, python=str(python))
        await workers.start()
        python.unlink()
        workers.workers[0].kill()
        await news.event("no worker can be started")
        await workers.stop(LIMIT_S)
        assert not workers.workers[0].lives

    async def test_kills_the_stubborn(self, generation: Start) -> None:
        """A worker that does not end in time is killed."""
        workers = generation(STUBBORN)
        await workers.start()
        await workers.stop(0)
        assert await workers.workers[0].ended() == -signal.SIGKILL

    async def test_stop_during_start(self, generation: Start, tmp_path: Path) -> None:
        """A stop ends workers that do not serve yet, and the start with them."""
        begun = tmp_path / "begun"
        os.mkfifo(begun)
        workers = generation(f"Path({str(begun)!r}).write_text('x'); signal.pause()")
        start = asyncio.create_task(workers.start())
        assert await asyncio.to_thread(begun.read_text) == "x"
        await workers.stop(LIMIT_S)
        await start
        assert not workers.workers[0].lives

    async def test_a_worker_that_comes_too_late(self, generation: Start) -> None:
        """A worker whose start had begun when the stop came is killed."""
        workers = generation(SERVES, 2)
        start = asyncio.create_task(workers.start())
        await asyncio.sleep(0)  # the first process is being made
        workers.kill()
        await start
        assert [False] * len(workers.workers) == [worker.lives for worker in workers.workers]

    def test_pauses_grow(self) -> None:
        """The first replacement comes at once; one that dies again and again comes less often."""
        assert [pause_before(n) for n in range(1, 9)] == [0.0, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
        assert pause_before(10_000) == 10.0


class TestWorkerProcess:
    async def test_killed_in_the_middle_of_a_line(self, news: News) -> None:
        """Half a line of a worker that was killed while it spoke is no news."""
        body = "import os; os.write(int(options['status']), b'{')"
        worker = await WorkerProcess.start(command(body), (), (), b"", ledger(), news)
        assert await worker.ended() == 0
        assert not worker.serves
        worker.terminate()  # and it does not matter that it has gone
        worker.tell(Order.RETIRE)
        worker.kill()
