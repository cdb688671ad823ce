"""The plots of the page: inline SVG whose colours come from the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 960.0


@dataclass(frozen=True)
class Part:
    """A part of a whole.

    Attributes:
        label: its name.
        value: its size.
        text: the size as the reader sees it.
        style: the class that colours it.
    """

    label: str
    value: float
    text: str
    style: str = "c1"


def stacked_bar(parts: Sequence[Part], title: str) -> str:
    """One bar, divided; a legend with the sizes beneath."""
    total = sum(part.value for part in parts) or 1.0
    out, x = [], 0.0
    for part in parts:
        width = _WIDTH * part.value / total
        out.append(
            f'<rect class="{part.style}" x="{x:.2f}" y="0" width="{max(width, 0.0):.2f}" height="26">{_tip(part)}</rect>'
        )
        x += width
    step = _WIDTH / max(len(parts), 1)
    for index, part in enumerate(parts):
        left = index * step
        share = f"{100 * part.value / total:.1f} %"
        out.append(f'<rect class="{part.style}" x="{left:.1f}" y="42" width="10" height="10" rx="2"/>')
        out.append(f'<text x="{left + 17:.1f}" y="51">{escape(part.label)}</text>')
        out.append(f'<text class="soft" x="{left + 17:.1f}" y="68">{escape(part.text)} · {share}</text>')
    return _svg("".join(out), 74, title)


def bars(parts: Sequence[Part], title: str) -> str:
    """One horizontal bar a part, the longest as wide as the room."""
    largest = max((part.value for part in parts), default=0.0) or 1.0
    label_width = min(40 + 7.2 * max((len(part.label) for part in parts), default=0), 330.0)
    room, out = _WIDTH - label_width - 110, []
    for index, part in enumerate(parts):
        y = index * 25.0
        width = max(room * part.value / largest, 1.5 if part.value > 0 else 0.0)
        end, base = label_width + width, y + 14
        out.append(f'<text class="label" x="{label_width - 12:.0f}" y="{base:.0f}">{escape(_short(part.label, 48))}</text>')
        out.append(f'<rect class="{part.style}" x="{label_width:.0f}" y="{y + 2:.0f}" width="{width:.1f}" height="16" rx="3">')
        out.append(f'{_tip(part)}</rect><text class="soft" x="{end + 8:.1f}" y="{base:.0f}">{escape(part.text)}</text>')
    return _svg("".join(out), max(25 * len(parts), 1), title)


@dataclass(frozen=True)
class Point:
    """A layer on the way through the network."""

    label: str
    value: float


def descent(points: Sequence[Point], title: str, unit: str, marked: int = 4) -> str:
    """A value along the layers, left to right; the steepest falls are named.

    Args:
        points: in the order of the layers; values above the median of the others are cut off at the top.
        title: for readers who don't see it.
        unit: of the values, on the axis.
        marked: how many falls are named.
    """
    if len(points) < 2:
        return ""
    height, left, right, top, bottom = 240.0, 52.0, 12.0, 14.0, 30.0
    low, high, step = _ticks([p.value for p in points])
    width = (_WIDTH - left - right) / (len(points) - 1)

    def place(index: int) -> tuple[float, float]:
        share = (min(max(points[index].value, low), high) - low) / (high - low)
        return left + index * width, top + (height - top - bottom) * (1 - share)

    out, tick = [], low
    while tick <= high + 1e-9:
        y = top + (height - top - bottom) * (1 - (tick - low) / (high - low))
        out.append(f'<path class="grid" d="M{left:.0f} {y:.1f}H{_WIDTH - right:.0f}"/>')
        out.append(f'<text class="soft tick" x="{left - 8:.0f}" y="{y + 4:.1f}">{tick:g}</text>')
        tick += step
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in map(place, range(len(points))))
    out.append(f'<path class="line" d="M{line}"/>')
    falls = sorted(range(1, len(points)), key=lambda i: points[i].value - points[i - 1].value)[:marked]
    for index in range(len(points)):
        x, y = place(index)
        tip = f"<title>{escape(points[index].label)}: {points[index].value:.1f} {unit}</title>"
        out.append(f'<circle class="{"fall" if index in falls else "dot"}" cx="{x:.1f}" cy="{y:.1f}" r="3.2">{tip}</circle>')
    taken: list[tuple[float, float, float]] = []
    steep = [i for i in sorted(falls) if points[i].value < points[i - 1].value - 0.05]
    out += [_callout(points[index], place(index), taken) for index in steep]
    out.append(f'<text class="soft" x="{left:.0f}" y="{height - 8:.0f}">first layer</text>')
    out.append(f'<text class="soft label" x="{_WIDTH - right:.0f}" y="{height - 8:.0f}">last layer</text>')
    out.append(f'<text class="soft tick" x="{left - 8:.0f}" y="{height - 8:.0f}">{escape(unit)}</text>')
    return _svg("".join(out), height, title)


def _callout(point: Point, at: tuple[float, float], taken: list[tuple[float, float, float]]) -> str:
    """The name of a layer beside its point, where no other name stands."""
    text = _short(point.label, 30)
    width, (x, y) = 6.6 * len(text), at
    left = x + 8 if x + 8 + width < _WIDTH else x - 8 - width
    for place in (y + 18, y + 33, y - 9, y + 48, y - 24, y - 39):
        clear = all(abs(place - other) > 13 or left > end or left + width < start for start, end, other in taken)
        if clear and 10 < place < 214:
            taken.append((left, left + width, place))
            return f'<text class="note" x="{left:.1f}" y="{place:.1f}">{escape(text)}</text>'
    return ""


def _ticks(values: Sequence[float]) -> tuple[float, float, float]:
    """Lowest and highest grid line and their distance; outliers at the top (nearly exact first layers) are left above."""
    ordered = sorted(values)
    low, high = ordered[0], min(ordered[-1], 1.6 * ordered[len(ordered) // 2] + 10)
    step = next(s for s in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0) if (high - low) / s <= 6 or s == 100.0)
    first = step * (low // step)
    return first, max(first + step, step * -(-high // step)), step


def data_bar(share: float, style: str = "c1") -> str:
    """A small bar for a table's cell."""
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        '<svg class="cell" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{style}" width="{width:.1f}" height="8" rx="2"/></svg>'
    )


def _tip(part: Part) -> str:
    return f"<title>{escape(part.label)}: {escape(part.text)}</title>"


def _short(text: str, most: int) -> str:
    """The end of a long name, which says more than its beginning."""
    return text if len(text) <= most else "…" + text[-(most - 1) :]


def _svg(body: str, height: float, title: str) -> str:
    return (
        f'<svg class="plot" role="img" aria-label="{escape(title)}" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" '
        f'width="{_WIDTH:.0f}" height="{height:.0f}">{body}</svg>'
    )
