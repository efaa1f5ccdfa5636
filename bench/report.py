"""What is told: tables of ratios in Markdown, and which targets were missed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bench.cases import Outcome
from bench.contestants import CADDY, DIRECT, HAPROXY, NGINX, NGINX_64K, OURS
from bench.ratios import Spread, ratio

__all__ = ["cost_ratio", "markdown", "missed"]

_HOW: Final = """\
# Performance, measured

Written by `make bench`, which measures the proxy beside nginx, HAProxy and Caddy in one run: see
`bench/`. Every figure is a ratio of costs, made within a round in which everybody had a turn: its
median, and in brackets its middle half. 1 is as much as the other needs, less is better. A ratio
near 1 is good to some 10 %. CPU is that of all processes of a proxy; memory is a connection's, the
kernel's buffers not counted; latency is the median unless it says more. One worker each unless it says two.
"""


def cost_ratio(outcome: Outcome, name: str, base: str) -> Spread | None:
    """Return the ratios of two contestants' costs; None if they do not both have some."""
    pairs = zip(outcome.samples.get(name, ()), outcome.samples.get(base, ()), strict=False)
    costs = [
        (one.cost, other.cost)
        for one, other in pairs
        if one.cost is not None and other.cost is not None
    ]
    return ratio([one for one, _ in costs], [other for _, other in costs]) if costs else None


def missed(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a sentence for each target that was missed."""
    for outcome in outcomes:
        for base, limit in outcome.limits.items():
            found = cost_ratio(outcome, OURS, base)
            if found is not None and found.median > limit:
                yield (
                    f"{outcome.title}, {outcome.quantity}: {_told(found)} x {base}, and the target"
                    f" is {limit:g}."
                )


def markdown(outcomes: Sequence[Outcome], facts: Mapping[str, str]) -> str:
    """Return the whole report."""
    with_nginx = [each for each in outcomes if NGINX in each.samples]
    parts = [
        _HOW,
        _table([["", ""], *([name, fact] for name, fact in facts.items())]),
        "## Cost, x nginx\n\n![the table as a plot](performance.svg)\n",
        _table(_to_nginx(with_nginx)),
        "## Cost, x Caddy\n",
        _table(_to_others(with_nginx, CADDY)),
        "## Account calls\n",
        _table(_accounts([each for each in outcomes if NGINX not in each.samples])),
        "## Requests or bytes a second, x direct\n",
        _table(_rates([each for each in outcomes if DIRECT in each.samples])),
        "## Targets that were missed\n",
        "\n".join(f"- {sentence}" for sentence in missed(outcomes)) or "None.",
    ]
    return "\n".join(parts) + "\n"


def _to_nginx(outcomes: Sequence[Outcome]) -> Iterator[list[str]]:
    others = (HAPROXY, CADDY, NGINX_64K)
    yield ["", "", *others, f"**{OURS}**", "target"]
    for each in outcomes:
        yield [
            each.title,
            each.quantity,
            *(_median(cost_ratio(each, name, NGINX)) for name in others),
            f"**{_told(cost_ratio(each, OURS, NGINX))}**",
            _target(each, NGINX),
        ]


def _to_others(outcomes: Sequence[Outcome], base: str) -> Iterator[list[str]]:
    yield ["", "", f"**{OURS}**", "target"]
    for each in outcomes:
        found = _told(cost_ratio(each, OURS, base))
        yield [each.title, each.quantity, f"**{found}**", _target(each, base)]


def _accounts(outcomes: Sequence[Outcome]) -> Iterator[list[str]]:
    yield ["", "", "compared with", f"**{OURS}**", "target"]
    for each in outcomes:
        for base in each.limits:
            found = _told(cost_ratio(each, OURS, base))
            yield [each.title, each.quantity, base, f"**{found}**", _target(each, base)]


def _rates(outcomes: Sequence[Outcome]) -> Iterator[list[str]]:
    names = (NGINX, NGINX_64K, HAPROXY, CADDY, OURS)
    yield ["", *names]
    for each in outcomes:
        direct = [one.rate or 0 for one in each.samples[DIRECT]]
        yield [
            each.title,
            *(
                _median(ratio([one.rate or 0 for one in each.samples[name]], direct))
                if name in each.samples
                else ""
                for name in names
            ),
        ]


def _target(outcome: Outcome, base: str) -> str:
    return f"≤ {outcome.limits[base]:g}" if base in outcome.limits else ""


def _told(found: Spread | None) -> str:
    if found is None:
        return ""
    return f"{_figure(found.median)} ({_figure(found.low)} to {_figure(found.high)})"


def _median(found: Spread | None) -> str:
    return "" if found is None else _figure(found.median)


def _figure(value: float) -> str:
    return f"{value:.{2 if value >= 1 else 3}f}"


def _table(rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)
