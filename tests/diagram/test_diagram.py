"""Diagrams: boxes never overlap, lines lead from box to box, text is escaped, and large networks stay quick."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.diagram import Box, draw
from edgekit.diagram.layers import layered
from edgekit.diagram.placing import place
from edgekit.diagram.text_width import shortened, text_width

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def forward_graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(1, 30))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] < p[1])
    return count, draw(st.lists(pairs, max_size=50)) if count > 1 else []


def rectangles(svg: str) -> list[tuple[float, float, float, float]]:
    boxes = [r for r in ElementTree.fromstring(svg).iter(f"{SVG}rect") if r.get("class") == "b"]
    return [(float(r.get("x", 0)), float(r.get("y", 0)), float(r.get("width", 0)), float(r.get("height", 0))) for r in boxes]


@settings(max_examples=60, deadline=None)
@given(forward_graphs())
def test_boxes_lie_inside_the_picture_and_do_not_overlap(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    svg = draw([Box(f"op{i}", "x" * (i % 40), "N×3") for i in range(count)], edges)
    _, _, width, height = (float(n) for n in ElementTree.fromstring(svg).get("viewBox", "").split())
    boxes = rectangles(svg)
    assert len(boxes) == count
    for i, (x, y, w, h) in enumerate(boxes):
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
        for u, v, ww, hh in boxes[:i]:
            assert x + w <= u or u + ww <= x or y + h <= v or v + hh <= y


@settings(max_examples=60, deadline=None)
@given(forward_graphs())
def test_layers_run_forward_and_every_edge_is_a_chain_of_neighbouring_layers(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    count, edges = graph
    rows = layered(count, edges)
    items = {slot.item: slot for row in rows for slot in row if not slot.waypoint}
    assert sorted(items) == list(range(count))
    for index, row in enumerate(rows):
        assert all(slot.layer == index and all(lower.layer == index + 1 for lower in slot.below) for slot in row)
    for source, target in edges:
        reached, frontier = set(), [items[source]]
        while frontier:
            slot = frontier.pop()
            for lower in slot.below:
                if lower.waypoint:
                    frontier.append(lower)
                else:
                    reached.add(lower.item)
        assert target in reached
    for row in rows:
        for slot in row:
            slot.width = 10.0
    place(rows, 5.0)
    for row in rows:
        assert all(right.x - left.x >= 15 - 1e-6 for left, right in pairwise(row))


def test_a_chain_is_straight_and_what_passes_it_stands_aside() -> None:
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 4)]
    svg = draw([Box("op", detail="N×16×32×32") for _ in range(5)], edges)
    centres = {round(x + w / 2, 1) for x, _, w, _ in rectangles(svg)}
    assert len(centres) == 1
    beside = [float(x) for x in re.findall(r'd="M[^"]*C[^"]* ([\d.]+) [\d.]+V', svg)]
    assert beside and all(abs(x - centres.copy().pop()) > 20 for x in beside)


def test_tall_networks_fold_into_columns_at_the_fewest_lines() -> None:
    count = 40
    chain = [(i, i + 1) for i in range(count - 1)]
    skips = [(i, i + 3) for i in range(0, count - 3, 4)]  # between 3 and 4, 7 and 8 ... only one line runs
    svg = draw([Box("op") for _ in range(count)], chain + skips)
    tops = [y for _, y, _, _ in rectangles(svg)]
    assert tops.count(min(tops)) == 2
    heads = [i for i, y in enumerate(tops) if y == min(tops)]
    assert heads[1] % 4 == 0


def test_user_text_is_escaped() -> None:
    svg = draw([Box("<b>", "a & b", '"quoted"', "</title><script>", "end")], [], description='x" onload="alert(1)')
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'x" onload="alert(1)'
    assert "script" not in {element.tag.removeprefix(SVG) for element in root.iter()}
    assert "<b>" in "".join(root.itertext())


def test_the_same_graph_gives_the_same_picture() -> None:
    boxes, edges = [Box(f"op{i}") for i in range(12)], [(i, j) for i in range(12) for j in range(i + 1, min(i + 4, 12))]
    assert draw(boxes, edges) == draw(boxes, edges)


def test_a_densely_connected_network_is_drawn_in_seconds() -> None:
    """DenseNet: in each block of 24, every op reads all before it."""
    edges = [(i, j) for block in range(0, 120, 24) for i in range(block, block + 24) for j in range(i + 1, block + 24)]
    edges += [(block - 1, block) for block in range(24, 120, 24)]
    started = time.perf_counter()
    draw([Box("concat") for _ in range(120)], edges)
    assert time.perf_counter() - started < 20


def test_nothing_to_draw_is_an_empty_picture() -> None:
    assert ElementTree.fromstring(draw([], [])).tag == f"{SVG}svg"


@pytest.mark.parametrize("bold", [False, True])
def test_text_is_shortened_to_its_room(bold: bool) -> None:
    text = "conv2d 3×3, stride 2, depthwise"
    assert shortened(text, 1000, 12, bold=bold) == text
    cut = shortened(text, 80, 12, bold=bold)
    assert cut.endswith("…") and text.startswith(cut[:-1]) and text_width(cut, 12, bold=bold) <= 80
    assert shortened(text, 1, 12, bold=bold) == ""
