#!/bin/sh
# Writes run.txt (the proxy, the embedded cluster, the build), dev.txt (tests and checks as well),
# bench.txt (what `make bench` compares with), clients.txt and elastalert.txt (what the tests use
# through the proxy) from pyproject.toml: every package with its version and the hashes of all its files, for every
# Python and machine that is supported; and package-lock.json from package.json. Versions stay as
# they are unless --upgrade is given.
set -eu
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
.venv/bin/python -m venv "$tool"
"$tool/bin/pip" --quiet --disable-pip-version-check install 'uv==0.13.9'
.venv/bin/python -c 'import pathlib, tomllib
print(*tomllib.loads(pathlib.Path("pyproject.toml").read_text())["build-system"]["requires"])
' >"$tool/build.in"
# What the build back end asks for where a project is installed in place.
echo editables >>"$tool/build.in"
lock() {
	out=$1
	shift
	"$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--output-file "$out" "$@"
}
lock requirements/run.txt --extra embedded pyproject.toml "$tool/build.in" "$@"
lock requirements/dev.txt --constraint requirements/run.txt --extra embedded \
	--group test --group check pyproject.toml "$tool/build.in" "$@"
lock requirements/bench.txt --group bench "$@"
lock requirements/clients.txt --group clients "$@"
lock requirements/elastalert.txt --group elastalert "$@"
"$tool/bin/pip" --quiet --disable-pip-version-check install --require-hashes --no-deps \
	-r requirements/clients.txt
# Without the addresses of files: a machine asks the registry that it is set up for.
cd requirements
"$tool/bin/npm" "$([ $# = 0 ] && echo install || echo update)" --package-lock-only \
	--omit-lockfile-registry-resolved --no-audit --no-fund --silent
