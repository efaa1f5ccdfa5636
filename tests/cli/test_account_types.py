"""``registry.types``: a name that there is none of ends the start, and is told by ``--check``."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from served import configure

from signals_proxy.account import schema


@pytest.mark.parametrize("options", [(), ("--check",)])
async def test_a_type_that_there_is_not(
    run: Callable[..., Awaitable[Any]], tmp_path: Path, options: tuple[str, ...]
) -> None:
    file = configure(tmp_path, "http://127.0.0.1:1", "registry:\n  types: [slack, emial]\n")
    done = await run("serve", "--config", file, *options)
    line = file.read_text().splitlines().index("  types: [slack, emial]") + 1
    known = ", ".join(schema.load())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"signals-proxy: error: {file}:{line}: registry.types: there is no account type 'emial'\n"
        f"signals-proxy: hint: the types are {known}\n"
    )
