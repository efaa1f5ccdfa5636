"""Keys stay out of core dumps."""

import subprocess
import sys


def test_no_dumps() -> None:
    """Once it is forbidden, the kernel knows that this process is not to be dumped."""
    code = (
        "import ctypes; from signals_proxy.undumpable import forbid_dumps;"
        "get = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0);"  # PR_GET_DUMPABLE
        "before = get(); forbid_dumps(); print(before, get())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "1 0\n"
