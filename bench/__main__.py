"""``python -m bench [--quick] [--only GROUP]``: measure, print, and write ``docs/performance.*``.

A run that is not whole is printed only.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.cases import FULL, QUICK, Outcome, Scale, large, memory, small, tls, two_workers
from bench.children import missing
from bench.cluster import elasticsearch
from bench.deliveries import deliveries
from bench.facts import facts
from bench.plot import svg
from bench.report import markdown
from signals_proxy.errors import ConfigError

_DOCS: Final = Path(__file__).parents[1] / "docs"
_GROUPS: Final[Mapping[str, Callable[[Scale, Path], Iterator[Outcome]]]] = MappingProxyType(
    {
        "small": small,
        "tls": tls,
        "two-workers": two_workers,
        "large": large,
        "memory": memory,
        "elasticsearch": elasticsearch,
        "deliveries": deliveries,
    }
)


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="one round of everything")
    parser.add_argument("--only", choices=_GROUPS, help="one group of cases")
    asked = parser.parse_args()
    try:
        if absent := missing():
            raise absent
        known = facts()
        outcomes = list(_measured(QUICK if asked.quick else FULL, asked.only))
    except ConfigError as error:
        sys.stderr.write(f"signals-proxy: error: {error.message}\n")
        if error.remedy:
            sys.stderr.write(f"signals-proxy: hint: {error.remedy}\n")
        return 2
    text = markdown(outcomes, known)
    sys.stdout.write(text)
    if not asked.quick and not asked.only:
        (_DOCS / "performance.md").write_text(text)
        (_DOCS / "performance.svg").write_text(svg(outcomes))
    return 0


def _measured(scale: Scale, only: str | None) -> Iterator[Outcome]:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        for name, group in _GROUPS.items():
            if only in {None, name}:
                for outcome in group(scale, Path(folder)):
                    past = time.monotonic() - start
                    sys.stderr.write(f"{past:5.0f} s  {name}: {outcome.title}\n")
                    yield outcome


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
