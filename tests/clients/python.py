"""A Python client, driven: a line with a request comes in, a line with what was told goes out.

    python.py MODULE VERSION URL COMPRESS

``driven.py`` says what the lines are. ``PYTHONPATH`` says where a client of that version is.
"""

import importlib
import json
import sys

# What the Elasticsearch client turns into media types of its version; the other has its own.
JSON = {"Accept": "application/json", "Content-Type": "application/json"}
LINES = {"Accept": "application/json", "Content-Type": "application/x-ndjson"}

name, version, url, compress = sys.argv[1:]
module = importlib.import_module(name)
if not module.__versionstr__.startswith(f"{version}."):
    sys.exit(f"{name} {module.__versionstr__} is here, not {version}")
if name == "elasticsearch":
    client = module.Elasticsearch(url, http_compress=compress == "true")
    perform, refused = client.perform_request, module.ApiError
else:
    client = module.OpenSearch(url, http_compress=compress == "true")
    perform, refused = client.transport.perform_request, module.TransportError

for line in sys.stdin:
    method, path, body = json.loads(line)
    try:
        fields = LINES if isinstance(body, list) else JSON
        if name == "opensearchpy":  # it says JSON by itself, and takes lines as text
            fields = {"content-type": LINES["Content-Type"]} if isinstance(body, list) else None
            if isinstance(body, list):
                body = "".join(json.dumps(line) + "\n" for line in body)
        answer = perform(method, path, headers=fields, body=body)
        told = [None, None, getattr(answer, "body", answer)]
    except refused as error:
        told = [type(error).__name__, error.status_code, error.info]
    print(json.dumps(told), flush=True)  # noqa: T201
