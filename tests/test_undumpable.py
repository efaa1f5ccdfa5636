"""Keys stay out of core dumps."""

import subprocess
import sys

import pytest


def test_no_dumps() -> None:
    """Once it is forbidden, the kernel knows that this process is not to be dumped."""
    code = (
        "import ctypes; from signals_proxy.undumpable import forbid_dumps;"
        "get = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0);"  # PR_GET_DUMPABLE
        "before = get(); forbid_dumps(); print(before, get())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "1 0\n"


@pytest.mark.parametrize("command", ["serve", "keys", "run", "worker"])
def test_every_command(command: str) -> None:
    """Each command forbids it before anything else of it is imported or read."""
    code = f"""
import ctypes, sys
import signals_proxy.cli.group as group

def show(self, ctx, name):
    print(name, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
    sys.exit(0)

group._Group.get_command = show
group.main(["{command}"])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == f"{command} 0\n"


def test_keys() -> None:
    """A command that makes keys is not to be dumped while they are in its memory."""
    code = """
import ctypes, atexit
from signals_proxy.cli import main

atexit.register(lambda: print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)))
main(["keys", "generate"])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "0"
