"""The plot of what each layer alone costs: one column a layer, in the order of the network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgekit.report.curves import ticks

_WIDTH, _HEIGHT = 960.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 22.0, 30.0

#: Columns that are named.
_NAMED = 4


def columns(labels: Sequence[str], values: Sequence[float], title: str, unit: str, *, base: float | None = None) -> str:
    """A column a layer; the lowest are named and marked.

    Args:
        labels: of the layers.
        values: one a layer.
        title: above the plot.
        unit: of the values, for readers who point at a column.
        base: where columns begin, such as the metric without quantisation; the bottom of the plot by default.
    """
    if not values:
        return ""
    known = [*values, base] if base is not None else list(values)
    low, high, step = ticks(min(known), max(known))
    floor = low if base is None else base
    pitch = (_WIDTH - _LEFT - _RIGHT) / len(values)
    room = _HEIGHT - _TOP - _BOTTOM

    def y_of(value: float) -> float:
        return _TOP + room * (1 - (value - low) / (high - low))

    out = [f'<text x="{_LEFT:.0f}" y="13">{escape(title)}</text>']
    for number in range(round((high - low) / step) + 1):
        tick = low + number * step
        out.append(f'<path class="grid" d="M{_LEFT:.0f} {y_of(tick):.1f}H{_WIDTH - _RIGHT:.0f}"/>')
        out.append(f'<text class="soft tick" x="{_LEFT - 8:.0f}" y="{y_of(tick) + 4:.1f}">{tick:.4g}</text>')
    worst = [i for i in sorted(range(len(values)), key=lambda i: values[i])[:_NAMED] if base is None or values[i] < base]
    for index, (label, value) in enumerate(zip(labels, values, strict=True)):
        top, height = min(y_of(value), y_of(floor)), max(abs(y_of(value) - y_of(floor)), 1.0)
        style = "cbad" if index in worst else "c1"
        out.append(
            f'<rect class="{style}" x="{_LEFT + pitch * (index + 0.15):.1f}" y="{top:.1f}" '
            f'width="{max(0.7 * pitch, 1.0):.1f}" height="{height:.1f}">'
            f"<title>{escape(label)}: {value:.4g} {escape(unit)}</title></rect>"
        )
    if base is not None:
        out.append(f'<path class="line2" d="M{_LEFT:.0f} {y_of(base):.1f}H{_WIDTH - _RIGHT:.0f}"/>')
    out += _names(labels, worst, pitch, [y_of(max(values[i], floor)) for i in worst])
    out.append(f'<text class="soft" x="{_LEFT:.0f}" y="{_HEIGHT - 8:.0f}">first layer</text>')
    out.append(f'<text class="soft label" x="{_WIDTH - _RIGHT:.0f}" y="{_HEIGHT - 8:.0f}">last layer</text>')
    return (
        f'<svg class="plot columns" role="img" aria-label="{escape(title)}" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" '
        f'width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}">{"".join(out)}</svg>'
    )


def _names(labels: Sequence[str], worst: Sequence[int], pitch: float, tops: Sequence[float]) -> list[str]:
    """The names of the marked columns, above them, where no other name stands."""
    out: list[str] = []
    taken: list[tuple[float, float, float]] = []
    for index, top in sorted(zip(worst, tops, strict=True)):
        text = labels[index] if len(labels[index]) <= 30 else "…" + labels[index][-29:]
        width, x = 6.6 * len(text), _LEFT + pitch * (index + 0.5)
        left = min(max(x - width / 2, _LEFT), _WIDTH - _RIGHT - width)
        for place in (top - 5, top - 19, top - 33, top - 47, top + 14):
            clear = all(abs(place - other) > 13 or left > end or left + width < start for start, end, other in taken)
            if clear and 26 < place < _HEIGHT - _BOTTOM:
                taken.append((left, left + width, place))
                out.append(f'<text class="note" x="{left:.1f}" y="{place:.1f}">{escape(text)}</text>')
                break
    return out
