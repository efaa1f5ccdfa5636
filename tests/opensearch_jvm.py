"""The child process of ``opensearch.py``: one Java virtual machine with one OpenSearch node in it.

Rule of the file: no jar is loaded that ``jars.verify`` has not just checked.
"""

import argparse
import http.client
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jpype
import trustme

from signals_proxy.embedded import jars
from signals_proxy.embedded.jvm import main, ports, start_java

LOGGING = """\
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=[%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level=error
rootLogger.appenderRef.c.ref=c
"""

SETTINGS = """\
cluster.name: {cluster}
node.name: {name}
discovery.type: single-node
network.host: 127.0.0.1
http.port: {http_port}
transport.port: 0
# Counts garbage as memory in use, which only works with the collector it was made for.
indices.breaker.total.use_real_memory: false
cluster.routing.allocation.disk.threshold_enabled: false
# As where a load balancer ends TLS; between nodes the plugin insists on it.
plugins.security.ssl.http.enabled: false
plugins.security.ssl.transport.pemcert_filepath: node.pem
plugins.security.ssl.transport.pemkey_filepath: node.key
plugins.security.ssl.transport.pemtrustedcas_filepath: ca.pem
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.nodes_dn: ["*"]
plugins.security.allow_default_init_securityindex: true
# Hardly any: nobody attacks it, and each new user would wait for it.
plugins.security.password.hashing.bcrypt.rounds: 4
plugins.security.restapi.roles_enabled: [all_access]
"""

PLUGINS = (
    "org.opensearch.transport.Netty4Plugin",
    "org.opensearch.security.OpenSearchSecurityPlugin",
)
LIMIT_S = 60


def start(options: argparse.Namespace) -> tuple[Any, dict[str, int]]:
    """Start the JVM and the node in it; return the node and its ports once it knows its users."""
    home: Path = options.home
    config = home / "config"
    class_path = lay_out(home, jars.verify(options.version))
    (config / "opensearch.yml").write_text(SETTINGS.format(**vars(options)))
    start_java(home, class_path, *options.java, f"-Dopensearch.path.home={home}")
    java = jpype.JClass
    settings = java("org.opensearch.common.settings.Settings").builder()
    environment = java("org.opensearch.node.InternalSettingsPreparer").prepareEnvironment(
        settings.put("path.home", str(home)).build(),
        java("java.util.Collections").emptyMap(),
        java("java.nio.file.Paths").get(str(config)),
        jpype.JProxy("java.util.function.Supplier", dict={"get": lambda: options.name}),
    )
    java("org.opensearch.common.logging.LogConfigurator").configure(environment)
    plugins = java("java.util.ArrayList")()
    for name in PLUGINS:
        plugins.add(java(name).class_)
    # The one that takes plugins from the class path is protected: it is reached by reflection.
    (constructor,) = (
        it
        for it in java("org.opensearch.node.Node").class_.getDeclaredConstructors()
        if it.getParameterCount() == 3
    )
    constructor.setAccessible(True)
    node = constructor.newInstance(environment, plugins, java("java.lang.Boolean").TRUE)
    node.start()
    bound = ports(node, "org.opensearch")
    wait_for_users(bound["http"])
    return node, bound


def lay_out(home: Path, checked: Sequence[Path]) -> list[str]:
    """Write the node's configuration and return its class path.

    The plugin's own files of users and roles are copied to where somebody may have put others.
    """
    (archive,) = (path for path in checked if path.suffix == ".zip")
    class_path = {path.name: path for path in checked if path.suffix == ".jar"}
    plugin, security = home / "opensearch-security", home / "config" / "opensearch-security"
    security.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            path = Path(name)
            if path.suffix == ".jar" and path.name not in class_path:
                class_path[path.name] = Path(files.extract(name, plugin))
            elif path.match("config/*.yml") and not (security / path.name).exists():
                (security / path.name).write_bytes(files.read(name))
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", common_name="node", organization_name="test")
    config = home / "config"
    authority.cert_pem.write_to_path(config / "ca.pem")
    certificate.private_key_pem.write_to_path(config / "node.key")
    (config / "node.pem").write_bytes(b"".join(it.bytes() for it in certificate.cert_chain_pems))
    (config / "log4j2.properties").write_text(LOGGING)
    return [str(path) for path in class_path.values()]


def wait_for_users(port: int) -> None:
    """Wait until the security plugin has read its users and roles, which it does last."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    limit = time.monotonic() + LIMIT_S
    status = 0
    while status != 200 and time.monotonic() < limit:
        connection.request("GET", "/_plugins/_security/health")
        answer = connection.getresponse()
        answer.read()
        status = answer.status
        time.sleep(0 if status == 200 else 0.05)
    connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], start))
