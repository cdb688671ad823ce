"""The drawing of a graph shows its ops, its inputs and outputs, and which ops stay float in an integer network."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from edgekit.ir import QuantParams
from edgekit.ir.drawing import to_svg
from edgekit.ir.labels import op_label
from edgekit.ir.text import parse
from tests.ir import networks

SVG = "{http://www.w3.org/2000/svg}"


def groups(svg: str) -> list[tuple[str, str]]:
    """(kind, text) of every box."""
    return [
        (g.get("class", ""), " ".join("".join(t.itertext()) for t in g.iter(f"{SVG}text")))
        for g in ElementTree.fromstring(svg).iter(f"{SVG}g")
    ]


def test_boxes_are_inputs_ops_and_outputs() -> None:
    boxes = groups(to_svg(networks.inverted_residuals()))
    assert boxes[0] == ("end", "x input · N×3×32×32")
    assert ("weighted", "conv2d 3×3, stride 2, relu6 N×16×16×16") in boxes
    assert ("weighted", "conv2d 3×3, depthwise, relu6 N×96×16×16") in boxes
    assert ("join", "mul N×96×16×16") in boxes
    assert ("plain", "mean axes 2 3 N×16") in boxes
    assert {text for kind, text in boxes if kind == "end"} == {
        "x input · N×3×32×32",
        "softmax output · N×10",
        "mean_3 output · N×16",
    }


def test_floats_in_an_integer_graph_stand_out() -> None:
    graph = parse("graph g(%x: float32[N,4])\n %y = relu(%x)\n %z = gelu(%y)\n %i = identity(%z)\n return %i")
    for name in ("x", "y", "i"):
        graph.value(name).quant = QuantParams("int8", (0.1,))
    kinds = {text.split()[0]: kind for kind, text in groups(to_svg(graph))}
    assert kinds["relu"] == "plain" and kinds["gelu"] == "plain"
    graph.value("y").quant = None
    kinds = {text.split()[0]: kind for kind, text in groups(to_svg(graph))}
    assert kinds["gelu"] == "float" and kinds["relu"] == "plain"
    assert "x input · N×4 · int8" in [text for _, text in groups(to_svg(graph))]


@pytest.mark.parametrize("build", [networks.resnet20, networks.vit, networks.lstm_classifier])
def test_networks_draw(build: object) -> None:
    graph = build()  # type: ignore[operator]
    graph.verify()
    assert len(groups(to_svg(graph))) == len(graph.nodes) + 2


def test_an_output_that_is_an_input_or_a_constant_is_drawn() -> None:
    graph = parse("graph g(%x: float32[N,4])\n @c: float32[2]\n return %x, @c")
    assert [kind for kind, _ in groups(to_svg(graph))] == ["end"] * 3


def test_labels_say_what_distinguishes_an_op() -> None:
    graph = parse(
        """
        graph g(%x: float32[N,4,8,8])
          @w: float32[8,2,3,1]
          @l: float32[2,8]
          %a = conv2d(%x, @w, dilation=(2, 1), groups=2, activation='relu6')
          %b = max_pool2d(%a, kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1))
          %c = clamp(%b, low=0.0)
          %d = leaky_relu(%c, slope=0.2)
          %e = resize(%d, size=(4, 8), mode='bilinear', align_corners=True)
          %f = linear(%e, @l)
          return %f
    """.replace("          %g = batch_norm(%f, none, none, @m, @v)\n", "")
    )
    assert [op_label(node) for node in graph.nodes] == [
        "3×1, dilation 2×1, groups 2, relu6",
        "2×2, stride 2",
        "0 to inf",
        "slope 0.2",
        "size 4 8, bilinear, align corners",
        "8 → 2",
    ]
