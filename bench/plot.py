"""The costs as a plot: one line a case, nginx at 1, on a logarithmic axis; SVG, by hand."""

import math
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Final
from xml.sax.saxutils import escape

from bench.cases import Outcome
from bench.contestants import CADDY, HAPROXY, NGINX, NGINX_64K, OURS
from bench.report import cost_ratio

__all__ = ["svg"]

_LEFT, _WIDTH, _TOP, _LINE = 320, 520, 70, 26
_LOWEST, _HIGHEST = 0.1, 100.0
_COLOURS: Final = MappingProxyType(
    {NGINX_64K: "#8a8f98", HAPROXY: "#d98200", CADDY: "#8250df", OURS: "#0a66c2"}
)


def svg(outcomes: Sequence[Outcome]) -> str:
    """Return the plot of all cases that nginx has a part in."""
    shown = [each for each in outcomes if NGINX in each.samples]
    height = _TOP + _LINE * len(shown) + 30
    size = f"{_LEFT + _WIDTH + 20} {height}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}"',
        ' font-family="sans-serif" font-size="12">',
        "<title>Cost of each proxy, as a multiple of nginx's</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *_legend(),
        *_axis(height - 30),
    ]
    for number, outcome in enumerate(shown):
        parts += _row(outcome, _TOP + _LINE * number + _LINE // 2)
    return "\n".join([*parts, "</svg>\n"])


def _row(outcome: Outcome, y: int) -> Iterator[str]:
    yield _text(_LEFT - 12, y + 4, f"{outcome.title}, {outcome.quantity}", anchor="end")
    if NGINX in outcome.limits:
        x = _x(outcome.limits[NGINX])
        yield f'<path d="M{x} {y - 8}v16" stroke="#c62828" stroke-width="2"/>'
    for name, colour in _COLOURS.items():
        found = cost_ratio(outcome, name, NGINX)
        if found is None:
            continue
        low, high = _x(found.low), _x(found.high)
        yield f'<path d="M{low} {y}H{high}" stroke="{colour}" stroke-width="3"/>'
        yield _mark(_x(found.median), y, colour)


def _legend() -> Iterator[str]:
    x = _LEFT // 2
    for name, colour in _COLOURS.items():
        yield _mark(x, 20, colour)
        yield _text(x + 9, 24, name)
        x += 40 + 7 * len(name)
    yield f'<path d="M{x} 12v16" stroke="#c62828" stroke-width="2"/>'
    yield _text(x + 7, 24, f"target of {OURS}")
    yield _text(
        _LEFT // 2 - 5, 46, "cost, x nginx (less is better; bars: middle half of the rounds)"
    )


def _axis(bottom: int) -> Iterator[str]:
    for value in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        colour = "#57606a" if value == 1 else "#d8dee4"
        yield f'<path d="M{_x(value)} {_TOP - 8}V{bottom}" stroke="{colour}"/>'
        yield _text(_x(value), bottom + 18, f"{value:g}", anchor="middle")


def _x(value: float) -> float:
    """Return where a ratio stands; what is beyond the axis stands at its end."""
    inside = min(max(value, _LOWEST), _HIGHEST)
    share = math.log(inside / _LOWEST) / math.log(_HIGHEST / _LOWEST)
    return round(_LEFT + _WIDTH * share, 1)


def _mark(x: float, y: int, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/>'


def _text(x: float, y: int, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="#1f2328">{escape(text)}</text>'
