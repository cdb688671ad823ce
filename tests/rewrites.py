"""What a test of a pass asks: text in, text out, and the same numbers before and after.

::

    def test_relu_after_a_convolution_becomes_its_activation() -> None:
        assert_rewrites(
            FuseActivation(),
            '''
            graph g(%x: float32[N,3,8,8])
              @w: float32[4,3,3,3]
              %y = conv2d(%x, @w)
              %z = relu(%y)
              return %z
            ''',
            count=1,
            becomes='''
            graph g(%x: float32[N,3,8,8])
              @w: float32[4,3,3,3]
              %z = conv2d(%x, @w, activation='relu')
              return %z
            ''',
        )
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from edgekit.ir import Graph
from edgekit.ir.text import parse, to_text
from edgekit.ir.text_parser import Constants
from edgekit.ir.verify import verify


def assert_rewrites(
    pass_: Any,
    graph: Graph | str,
    *,
    count: int,
    becomes: str | None = None,
    skips: Sequence[str] = (),
    constants: Constants | None = None,
    tolerance: float = 1e-5,
    batch: int = 2,
) -> Graph:
    """Runs a pass and checks all that a pass promises; returns the changed graph.

    Args:
        pass_: an object with ``run(graph) -> (graph, record)``.
        graph: a graph or its text.
        count: rewrites that the record must report.
        becomes: the text of the result. Names of computed values, inputs and state are compared; other constants may have any
        name,
            and their data is compared only through the outputs. State that no node reads is left out on both sides.
        skips: regular expressions, one for each reason that the record gives for declining, in order.
        constants: data of the constants, as for ``parse``.
        tolerance: largest difference of an output before and after, relative to the largest output.
        batch: the batch size of the comparison.
    """
    before = parse(graph, constants) if isinstance(graph, str) else graph
    text, data = to_text(before), [(v, v.tensor.detach().clone()) for v in before.constants()]
    after, record = pass_.run(before)
    assert to_text(before) == text, "the pass changed the graph that it was given"
    for value, old in data:
        torch.testing.assert_close(value.tensor.detach(), old, rtol=0, atol=0, equal_nan=True)
    verify(after)
    assert record.rewrites == count, f"{record}\n{to_text(after)}"
    reasons = [skipped.reason for skipped in record.skipped]
    assert len(reasons) == len(skips) and all(re.search(want, reason) for want, reason in zip(skips, reasons, strict=True)), (
        f"declined for {reasons}, expected {list(skips)}"
    )
    assert [v.name for v in after.inputs] == [v.name for v in before.inputs]
    assert [v.name for v in after.outputs] == [v.name for v in before.outputs]
    assert_same_outputs(before, after, tolerance=tolerance, batch=batch)
    if becomes is not None:
        assert comparable(after) == comparable(parse(becomes))
    return after


def assert_same_outputs(before: Graph, after: Graph, *, tolerance: float = 1e-5, batch: int = 2) -> None:
    """Both graphs give the same outputs for the same random inputs (``tolerance`` relative to the largest output)."""
    inputs = random_inputs(before, batch)
    with torch.no_grad():
        old = before.module().eval().run([x.clone() for x in inputs])
        new = after.module().eval().run(inputs)
    for value, a, b in zip(before.outputs, old, new, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, f"%{value.name} was {a.shape} {a.dtype}, is {b.shape} {b.dtype}"
        if a.is_floating_point():
            # The bound grows with the values: float32 sums in another order differ by parts of the largest.
            finite = a[torch.isfinite(a)]
            size = float(finite.abs().max()) if finite.numel() else 1.0
            torch.testing.assert_close(b, a, rtol=0, atol=tolerance * max(size, 1e-30), equal_nan=True)
        else:
            assert torch.equal(a, b), f"%{value.name} changed"


def random_inputs(graph: Graph, batch: int = 2, seed: int = 0) -> list[torch.Tensor]:
    """Standard normal floats, integers 0 or 1, for every input."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for value in graph.inputs:
        shape, dtype = value.type.at(batch), value.type.dtype
        if dtype.is_floating_point:
            out.append(torch.randn(shape, generator=generator).to(dtype))
        else:
            out.append(torch.randint(0, 2, shape, generator=generator).to(dtype))
    return out


def comparable(graph: Graph) -> str:
    """The text without unread state and without data; constants of the graph's own are numbered in reading order."""
    graph = graph.copy()
    read = {id(v) for node in graph.nodes for v in node.inputs} | {id(v) for v in graph.outputs}
    graph.state = {name: value for name, value in graph.state.items() if id(value) in read}
    state = {id(v) for v in graph.state.values()}
    for number, value in enumerate(v for v in graph.constants() if id(v) not in state):
        value.name = f"constant.{number}"
    order = sorted(graph.state.items())
    graph.state = dict(order)
    return "\n".join(line.partition(" = ")[0] if line.startswith("  @") else line for line in to_text(graph).splitlines())
