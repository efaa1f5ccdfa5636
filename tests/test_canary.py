"""The plugin that watches every test's secrets: it has to fail where one leaks, in every place."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PRELUDE = """
import base64, json, logging, os, subprocess, sys, urllib.parse, urllib.request
import aiohttp, pytest
from aiohttp import web


@pytest.fixture
def elasticsearch():
    return os.environ["NODE"]


"""
CONFIGURATION = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs tests in a process of their own, with the plugin alone."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    for name in ("CI", "BUILD_NUMBER"):  # with which pytest says everything twice
        monkeypatch.delenv(name, raising=False)
    pytester.makeini(CONFIGURATION)

    def run(source: str, *arguments: str, node: str = "") -> pytest.RunResult:
        monkeypatch.setenv("NODE", node)
        pytester.makepyfile(PRELUDE + source)
        return pytester.runpytest_subprocess("-p", "canary", *arguments)

    return run


def failure(result: pytest.RunResult) -> str:
    """Return what the plugin said; fails unless the test passed and only the plugin complained."""
    result.assert_outcomes(passed=1, errors=1)
    return result.stdout.str()


def test_a_quiet_test_passes(run: Run) -> None:
    """A test whose secret goes nowhere passes, as does one without any secret."""
    result = run("""
def test_quiet(canary):
    assert canary("password").startswith("password-")
    assert canary("password") != canary("password")

def test_pure():
    print("nothing")
""")
    result.assert_outcomes(passed=2)


def test_logs(run: Run) -> None:
    """A log record of any logger and level, with the secret in any form, fails the test."""
    lines = [
        "logging.getLogger('some.library').debug('got %s', secret)",
        "logging.getLogger('some.library').info('got', extra={'fields': {'body': secret}})",
        "logging.getLogger('quiet').debug(secret)",
        "logging.info(base64.b64encode(b'x' + secret.encode()).decode())",
        "logging.info(base64.urlsafe_b64encode(b'xx' + secret.encode() + b'x').decode())",
        "logging.info(base64.b64encode(secret.encode()).decode())",
        "logging.info(secret.encode().hex().upper())",
        "logging.info(''.join(f'%{ord(it):02X}' for it in secret))",
        "logging.info(''.join(f'%{ord(it):02x}' for it in secret))",
        r"logging.info(''.join(f'\\u{ord(it):04x}' for it in secret))",
        r"logging.info(''.join(f'\\u{ord(it):04X}' for it in secret))",
        "logging.info(json.dumps(json.dumps({'a': secret})))",
        "logging.info(urllib.parse.quote(secret + ' %'))",
    ]
    result = run(f"""
logging.getLogger("quiet").setLevel(logging.CRITICAL)
logging.getLogger("quiet").propagate = False

@pytest.mark.parametrize("line", {lines!r})
def test_leaky(canary, line):
    secret = canary("password")
    exec(line)
""")
    result.assert_outcomes(passed=len(lines), errors=len(lines))
    result.stdout.re_match_lines([r".*password as \w+ in log: (some\.library|quiet|root): .*"])


def test_tracebacks(run: Run) -> None:
    """A logged traceback whose message holds the secret fails the test."""
    result = run("""
def test_leaky(canary):
    try:
        raise KeyError(canary("password"))
    except KeyError:
        logging.exception("oh")
""")
    assert "password as itself in log: root" in failure(result)


def test_output(run: Run) -> None:
    """What the test or a process of it prints is looked at, also where the test took it away."""
    lines = [
        "print(secret)",
        "print(secret, file=sys.stderr)",
        "os.write(1, secret.encode())",
        "subprocess.run([sys.executable, '-c', f'print({secret!r})'], check=True)",
        "subprocess.run([sys.executable, '-c', f'print({secret!r})'], stdout=subprocess.PIPE)",
        "subprocess.run(['sh', '-c', f'echo {secret} >&2'], stderr=subprocess.PIPE)",
    ]
    result = run(f"""
@pytest.mark.parametrize("line", {lines!r})
def test_leaky(canary, line):
    secret = canary("password")
    exec(line)

def test_captured(canary, capsys):
    print(canary("password"))
    capsys.readouterr()
""")
    result.assert_outcomes(passed=len(lines) + 1, errors=len(lines) + 1)
    assert len(lines) + 1 == result.stdout.str().count("password as itself in output")


SERVER = """
async def leak(request):
    secret = request.query["secret"]
    if request.path == "/head":
        return web.Response(headers={"X-Leak": secret})
    return web.json_response({"body": "x" * 100_000 + secret})

@pytest.fixture
async def url():
    app = web.Application()
    app.router.add_get("/{any}", leak)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield "http://%s:%d" % runner.addresses[0]
    await runner.cleanup()
"""


def test_answers(run: Run) -> None:
    """Head and body of each answer are looked at, whatever client reads them, and however."""
    result = run(
        SERVER
        + """
import asyncio

@pytest.mark.parametrize("place", ["head", "body"])
async def test_leaky(canary, url, place):
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/{place}", params={"secret": canary("password")}) as answer:
            await answer.read()

def fetch(url):
    with urllib.request.urlopen(url) as answer:
        while answer.read(7001):
            pass

@pytest.mark.parametrize("place", ["head", "body"])
async def test_blocking(canary, url, place):
    await asyncio.to_thread(fetch, f"{url}/{place}?secret=" + canary("password"))
"""
    )
    result.assert_outcomes(passed=4, errors=4)
    output = result.stdout.str()
    assert "password as itself in answer: the head of GET" in output
    assert "password as itself in answer: the body of GET" in output
    assert output.count("password as itself in answer: an answer of 127.0.0.1:") == 2


def test_what_no_hook_sees(run: Run) -> None:
    """A test with a raw socket shows the plugin what came."""
    result = run("""
def test_leaky(canary, saw):
    saw("the socket", b"HTTP/1.1 200 OK" + canary("password").encode())
""")
    assert "password as itself in answer: the socket" in failure(result)


INDEX = """
def put(url, body, content_type="application/json"):
    request = urllib.request.Request(url, json.dumps(body).encode(), method="PUT")
    request.add_header("Content-Type", content_type)
    urllib.request.urlopen(request).read()
"""


def test_indices(run: Run, elasticsearch: str) -> None:
    """Mapping, settings and documents of every index are looked at, hidden or not, at once."""
    result = run(
        INDEX
        + """
@pytest.mark.parametrize("hidden", [True, False])
def test_documents(canary, elasticsearch, hidden):
    index = elasticsearch + f"/canary-documents-{hidden}".lower()
    put(index, {"settings": {"index.hidden": hidden, "index.refresh_interval": -1}})
    put(index + "/_doc/1", {"password": canary("password")})

def test_allowed(canary, elasticsearch):
    index = elasticsearch + "/canary-allowed"
    put(index + "/_doc/1", {"password": canary("password", allowed={"index"})})
    urllib.request.urlopen(index + "/_doc/1").read()

def test_mapping(canary, elasticsearch):
    mapping = {"mappings": {"_meta": {"password": canary("password")}}}
    put(elasticsearch + "/canary-mapping", mapping)
""",
        node=elasticsearch,
    )
    result.assert_outcomes(passed=4, errors=3)
    for place in ("documents of canary-documents-true", "documents of canary-documents-false"):
        assert f"password as itself in index: the {place}" in result.stdout.str()
    assert "password as itself in index: the index canary-mapping" in result.stdout.str()


def test_files(run: Run, elasticsearch: str) -> None:
    """What a node wrote to its disk is looked at, also of an index that is closed by now."""
    result = run(
        INDEX
        + """
@pytest.mark.parametrize("form", ["itself", "hex"])
def test_closed(canary, elasticsearch, form):
    secret, index = canary("password"), elasticsearch + "/canary-files-" + form
    put(index + "/_doc/1", {"password": secret if form == "itself" else secret.encode().hex()})
    urllib.request.urlopen(index + "/_close", b"").read()

def test_deleted(canary, elasticsearch):
    put(elasticsearch + "/canary-deleted/_doc/1", {"password": canary("password")})
    request = urllib.request.Request(elasticsearch + "/canary-deleted/_doc/1", method="DELETE")
    urllib.request.urlopen(request).read()

def test_allowed(canary, elasticsearch):
    put(elasticsearch + "/canary-allowed/_doc/1", {"a": canary("a", allowed={"index"})})
    put(elasticsearch + "/canary-allowed/_doc/2", {"b": canary("b", allowed={"index"})})

def test_not_written(canary, elasticsearch):
    canary("password")
    put(elasticsearch + "/canary-others/_doc/1", {"password": "x"})
""",
        node=elasticsearch,
    )
    result.assert_outcomes(passed=5, errors=3)
    output = result.stdout.str()
    assert "password as itself in files: indices/" in output
    assert "password as hex in files: indices/" in output


def test_allowed_places(run: Run) -> None:
    """What a test allows for one secret is allowed in that place, and for that secret, alone."""
    result = run("""
def test_allowed(canary):
    logging.info(canary("mine", allowed={"log"}))

def test_not_allowed(canary):
    print(canary("elsewhere", allowed={"log"}))
    logging.info(canary("other"))

def test_misspelt(canary):
    with pytest.raises(ValueError, match="logs"):
        canary("mine", allowed={"logs"})
""")
    result.assert_outcomes(passed=3, errors=1)
    assert "elsewhere as itself in output" in result.stdout.str()
    assert "other as itself in log" in result.stdout.str()
    assert "mine as" not in result.stdout.str()


def test_everything_is_put_back(run: Run) -> None:
    """After a test with secrets, loggers, clients and capturing are as they were before."""
    result = run("""
logger = logging.getLogger("mine")
logger.setLevel(logging.WARNING)
before = (logging.getLogger().level, aiohttp.ClientResponse.read, subprocess.Popen.communicate)

def test_one(secret_value):
    assert logger.level == logging.NOTSET

def test_two():
    assert logger.level == logging.WARNING
    now = (logging.getLogger().level, aiohttp.ClientResponse.read, subprocess.Popen.communicate)
    assert before == now
""")
    result.assert_outcomes(passed=2)


def test_leaks_of_fixtures(run: Run) -> None:
    """What a fixture prints before and after the test counts as the test's."""
    result = run("""
@pytest.fixture
def leaky(canary):
    secret = canary("password")
    yield
    print(secret)

def test_leaky(leaky):
    pass
""")
    assert "password as itself in output" in failure(result)


def test_a_failing_test_is_looked_at_too(run: Run) -> None:
    """A test that fails anyway does not hide its leak."""
    result = run("""
def test_leaky(canary):
    logging.info(canary("password"))
    assert False
""")
    result.assert_outcomes(failed=1, errors=1)


def test_alignments() -> None:
    """A token is found in base64 wherever it begins and whatever follows it."""
    from canary import _forms

    token = "0123456789abcdef"
    forms = [form for name, form in _forms(token) if name == "base64"]
    for before in range(9):
        for after in range(9):
            text = base64.b64encode(b"?" * before + token.encode() + b"~" * after)
            assert any(form in text for form in forms), (before, after)
