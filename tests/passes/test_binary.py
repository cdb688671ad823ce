"""Signs and norms go before the pool that they stand behind."""

from __future__ import annotations

import torch

from edgekit.ir.text import parse
from edgekit.passes import EXACT, run_passes
from edgekit.passes.binary import NormBeforePool, SignBeforePool
from tests.rewrites import assert_rewrites

HEAD = (
    "graph g(%x: float32[N,3,8,8])\n@w: float32[4,3,3,3] parameter\n@g: float32[4] parameter\n@b: float32[4] parameter\n"
    "@m: float32[4] buffer\n@v: float32[4] buffer\n"
)
POOL = "kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1)"
POSITIVE = {"g": torch.tensor([0.5, 1.0, 0.0, 2.0]), "v": torch.ones(4)}
NEGATIVE = {"g": torch.tensor([0.5, -1.0, 0.0, 2.0]), "v": torch.ones(4)}


def test_a_sign_goes_before_the_pool() -> None:
    assert_rewrites(
        SignBeforePool(),
        f"{HEAD}%c = conv2d(%x, @w)\n%p = max_pool2d(%c, {POOL})\n%y = binary_sign(%p)\nreturn %y",
        count=1,
        becomes=f"{HEAD}%c = conv2d(%x, @w)\n%y.unpooled = binary_sign(%c)\n%y = max_pool2d(%y.unpooled, {POOL})\nreturn %y",
    )


def _graph(data: dict[str, torch.Tensor]) -> object:
    text = f"{HEAD}%c = conv2d(%x, @w)\n%p = max_pool2d(%c, {POOL})\n%y = batch_norm(%p, @g, @b, @m, @v)\nreturn %y"
    torch.manual_seed(0)
    graph = parse(text)
    with torch.no_grad():
        for name, value in graph.state.items():
            value.tensor.copy_(data.get(name, torch.randn(value.tensor.shape)))
    return graph


def test_a_norm_goes_before_the_pool_and_is_folded_where_no_scale_is_negative() -> None:
    graph = _graph(POSITIVE)
    out, record = NormBeforePool().run(graph)  # type: ignore[arg-type]
    assert record.rewrites == 1 and [n.op.name for n in out.nodes] == ["conv2d", "batch_norm", "max_pool2d"]
    x = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(graph.module().eval()(x), out.module().eval()(x))  # type: ignore[attr-defined]
    folded, _ = run_passes(graph, EXACT)  # type: ignore[arg-type]
    assert [n.op.name for n in folded.nodes] == ["conv2d", "max_pool2d"]


def test_a_norm_with_a_negative_scale_stays_with_the_reason() -> None:
    out, record = NormBeforePool().run(_graph(NEGATIVE))  # type: ignore[arg-type]
    assert record.rewrites == 0 and "scale is negative" in record.skipped[0].reason
    assert [n.op.name for n in out.nodes] == ["conv2d", "max_pool2d", "batch_norm"]
