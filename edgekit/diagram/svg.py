"""A diagram as one SVG: boxes in layers from top to bottom, tall networks folded into columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Literal

from edgekit.diagram.layers import Slot, layered
from edgekit.diagram.placing import place
from edgekit.diagram.text_width import shortened, text_width

#: What a box is, which decides its colour: an input or output, an op with weights, one that joins branches, any other, and one
#: that stays float in an integer network.
Kind = Literal["end", "weighted", "join", "plain", "float"]

_BOX_HEIGHT, _LAYER_GAP, _ITEM_GAP, _MARGIN = 40.0, 24.0, 22.0, 16.0
_TRUNK_WIDTH = 6.0
_LANE, _COLUMN_GAP = 9.0, 30.0
_MAX_TEXT = 300.0
#: A column holds about this many layers; a little less where the lines are fewer to cut.
_COLUMN_LAYERS = 17

_STYLE = """
.ek{background:#fff;font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.ek text{fill:#1f2328}.ek .t{font-weight:600}.ek .d{fill:#59636e;font-size:11px}
.ek .b{fill:#fff;stroke:#d0d7de}.ek .end .b{fill:#eaeef2;stroke:none}.ek .s{fill:#d0d7de}
.ek .weighted .s{fill:#0969da}.ek .join .s{fill:#1a7f37}.ek .float .s{fill:#bc4c00}
.ek .e{fill:none;stroke:#8c959f;stroke-width:1.25}.ek .h{fill:#8c959f}
@media(prefers-color-scheme:dark){.ek{background:#0d1117}.ek text{fill:#e6edf3}.ek .d{fill:#9198a1}
.ek .b{fill:#161b22;stroke:#3d444d}.ek .end .b{fill:#262c36}.ek .s{fill:#3d444d}
.ek .weighted .s{fill:#58a6ff}.ek .join .s{fill:#3fb950}.ek .float .s{fill:#f0883e}
.ek .e{stroke:#6e7681}.ek .h{fill:#6e7681}}
""".replace("\n", "")


@dataclass(frozen=True)
class Box:
    """One item of the diagram.

    Attributes:
        title: its first word, bold: the op.
        label: beside the title: what distinguishes it.
        detail: the second line: the shape.
        tooltip: shown by a browser that points at it.
        kind: decides the colour.
    """

    title: str
    label: str = ""
    detail: str = ""
    tooltip: str = ""
    kind: Kind = "plain"


def draw(boxes: Sequence[Box], edges: Sequence[tuple[int, int]], *, description: str = "network") -> str:
    """The SVG document of a directed graph without circles; follows the reader's light or dark colour scheme.

    Args:
        boxes: the items, in an order in which every edge goes forward.
        edges: (from, to), numbers of boxes.
        description: what the picture shows, for readers who don't see it.
    """
    rows = layered(len(boxes), edges)
    for row in rows:
        for slot in row:
            slot.width = _TRUNK_WIDTH if slot.waypoint else _width(boxes[slot.item])
    columns = _columns(rows)
    parts: list[str] = []
    heads: list[str] = []
    left, lanes_height = _MARGIN, max((len(_cut(rows, first)) for first, _ in columns[1:]), default=0) * _LANE
    top = _MARGIN + lanes_height + (_LANE if len(columns) > 1 else 0)
    previous_right = 0.0
    places: dict[int, tuple[float, float]] = {}
    height = top
    for number, (first, last) in enumerate(columns):
        own = rows[first:last]
        _place_column(own)
        crossing = _cut(rows, first) if number else []
        gutter = left
        if number:
            left += len(crossing) * _LANE + _COLUMN_GAP / 2
        for index, row in enumerate(own):
            for slot in row:
                places[id(slot)] = (left + slot.x, top + index * (_BOX_HEIGHT + _LAYER_GAP))
        right = max((left + slot.x + slot.width / 2 for row in own for slot in row), default=left)
        if crossing:
            parts += _folds(crossing, places, gutter, top)
            heads += [_arrow(*places[id(lower)]) for _, lowers in crossing for lower in lowers if not lower.waypoint]
        height = max(height, top + len(own) * (_BOX_HEIGHT + _LAYER_GAP) - _LAYER_GAP)
        previous_right = right
        left = right + _COLUMN_GAP / 2
    for first, last in columns:
        lines, tips = _lines(rows[first:last], places)
        parts += lines
        heads += tips
    for slot in (slot for row in rows for slot in row if not slot.waypoint):
        heads.append(_box(boxes[slot.item], *places[id(slot)], slot.width))
    width, height = previous_right + _MARGIN, height + lanes_height + _MARGIN + (_LANE if len(columns) > 1 else 0)
    body = "".join(parts + heads)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ek" role="img" aria-label="{escape(description)}" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"<style>{_STYLE}</style>{body}</svg>\n"
    )


def _width(box: Box) -> float:
    first = text_width(box.title, 12, bold=True) + (text_width(" " + box.label, 12) if box.label else 0.0)
    return round(min(max(first, text_width(box.detail, 11), 48.0), _MAX_TEXT) + 26)


def _place_column(rows: Sequence[Sequence[Slot]]) -> None:
    """Places a column by the lines inside it: those to other columns are folded and pull at nothing."""
    inside = {id(slot) for row in rows for slot in row}
    kept = {id(slot): (slot.above, slot.below) for row in rows for slot in row}
    for row in rows:
        for slot in row:
            slot.above = [other for other in slot.above if id(other) in inside]
            slot.below = [other for other in slot.below if id(other) in inside]
    place(rows, _ITEM_GAP)
    for row in rows:
        for slot in row:
            slot.above, slot.below = kept[id(slot)]


def _cut(rows: Sequence[Sequence[Slot]], layer: int) -> list[tuple[Slot, list[Slot]]]:
    """The lines from the layer before ``layer`` into it, by where they come from."""
    return [(upper, upper.below) for upper in rows[layer - 1] if upper.below] if layer else []


def _columns(rows: Sequence[Sequence[Slot]]) -> list[tuple[int, int]]:
    """Ranges of layers: as many columns as the height asks for, cut where the fewest lines run."""
    count = max(1, round(len(rows) / _COLUMN_LAYERS))
    bounds = [0]
    for column in range(1, count):
        ideal = round(column * len(rows) / count)
        near = range(max(bounds[-1] + 4, ideal - 6), min(len(rows) - 3, ideal + 7))
        if near:
            bounds.append(min(near, key=lambda layer: (4 * len(_cut(rows, layer)) + abs(layer - ideal), layer)))
    return list(zip(bounds, [*bounds[1:], len(rows)], strict=True))


def _lines(rows: Sequence[Sequence[Slot]], places: dict[int, tuple[float, float]]) -> tuple[list[str], list[str]]:
    """The lines inside a column and their arrow heads."""
    lines, heads = [], []
    for row, following in pairwise(rows):
        inside = {id(slot) for slot in following}
        for slot in row:
            for lower in (other for other in slot.below if id(other) in inside):
                (x0, y0), (x1, y1) = places[id(slot)], places[id(lower)]
                y0, end = y0 + _BOX_HEIGHT, y1 - (0 if lower.waypoint else 5)
                middle = (y0 + y1) / 2
                bend = (
                    f"V{end:.1f}" if abs(x0 - x1) < 0.5 else f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {end:.1f}"
                )
                through = f"V{y1 + _BOX_HEIGHT:.1f}" if lower.waypoint else ""
                lines.append(f'<path class="e" d="M{x0:.1f} {y0:.1f}{bend}{through}"/>')
                if not lower.waypoint:
                    heads.append(_arrow(x1, y1))
    return lines, heads


def _folds(
    crossing: list[tuple[Slot, list[Slot]]], places: dict[int, tuple[float, float]], gutter: float, top: float
) -> list[str]:
    """Lines from the foot of one column around to the head of the next; one lane for each value."""
    paths = []
    foot = max(places[id(upper)][1] for upper, _ in crossing) + _BOX_HEIGHT
    for lane, (upper, lowers) in enumerate(sorted(crossing, key=lambda pair: -places[id(pair[1][0])][0])):
        x0 = places[id(upper)][0]
        down, up, x = foot + _LANE * (lane + 1), top - _LANE * (lane + 1), gutter + _LANE * (len(crossing) - lane - 0.5)
        for lower in lowers:
            x1, y1 = places[id(lower)]
            end = y1 - (0 if lower.waypoint else 5)
            through = f"V{y1 + _BOX_HEIGHT:.1f}" if lower.waypoint else ""
            points = [(x0, foot), (x0, down), (x, down), (x, up), (x1, up), (x1, end)]
            paths.append(f'<path class="e" d="{_rounded(points)}{through}"/>')
    return paths


def _rounded(points: list[tuple[float, float]], radius: float = 6.0) -> str:
    """A path along axis-parallel lines with rounded corners."""
    out = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1), (x2, y2) in zip(points, points[1:], points[2:], strict=False):
        before, after = abs(x1 - x0) + abs(y1 - y0), abs(x2 - x1) + abs(y2 - y1)
        r = min(radius, before / 2, after / 2)
        if r < 0.1:
            out.append(f"L{x1:.1f} {y1:.1f}")
            continue
        bx, by = x1 - (x1 - x0) / before * r, y1 - (y1 - y0) / before * r
        ax, ay = x1 + (x2 - x1) / after * r, y1 + (y2 - y1) / after * r
        out.append(f"L{bx:.1f} {by:.1f}Q{x1:.1f} {y1:.1f} {ax:.1f} {ay:.1f}")
    return "".join(out) + f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _arrow(x: float, y: float) -> str:
    return f'<path class="h" d="M{x - 4:.1f} {y - 7:.1f}h8l-4 7z"/>'


def _box(box: Box, x: float, y: float, width: float) -> str:
    left, room = x - width / 2, width - 24
    title = shortened(box.title, room, 12, bold=True)
    label = shortened(box.label, room - text_width(title + " ", 12, bold=True), 12)
    first = f'<tspan class="t">{escape(title)}</tspan>' + (f" {escape(label)}" if label else "")
    middle = y + _BOX_HEIGHT / 2
    out = [f'<g class="{box.kind}">']
    if box.tooltip:
        out.append(f"<title>{escape(box.tooltip)}</title>")
    out.append(f'<rect class="b" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BOX_HEIGHT:.0f}" rx="6"/>')
    if box.kind != "end":
        out.append(f'<rect class="s" x="{left + 5:.1f}" y="{y + 7:.1f}" width="3" height="{_BOX_HEIGHT - 14:.0f}" rx="1.5"/>')
    out.append(f'<text x="{left + 15:.1f}" y="{middle - 3 if box.detail else middle + 4:.1f}">{first}</text>')
    if box.detail:
        detail = shortened(box.detail, room, 11)
        out.append(f'<text class="d" x="{left + 15:.1f}" y="{middle + 12:.1f}">{escape(detail)}</text>')
    return "".join(out) + "</g>"
