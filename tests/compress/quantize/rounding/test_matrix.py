"""Every layer is a matrix product of what single outputs read."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.quantize.rounding.matrix import MatrixLayer
from edgekit.ir.text import parse

#: Input without batch, shape of the weight, the op.
LAYERS = {
    "linear": ("6", "5,6", "linear(%x, @w)"),
    "linear over positions": ("7,6", "5,6", "linear(%x, @w)"),
    "convolution": ("3,8,9", "5,3,3,2", "conv2d(%x, @w, stride=(2, 1), padding=((1, 0), (2, 1)), dilation=(1, 2))"),
    "groups": ("4,6,6", "6,2,3,3", "conv2d(%x, @w, groups=2)"),
    "depthwise": ("4,6,6", "8,1,3,3", "conv2d(%x, @w, groups=4, padding=((1, 1), (1, 1)))"),
    "one-dimensional": ("3,11", "5,3,4", "conv1d(%x, @w, stride=(2,), padding=((3, 0),))"),
    "transposed": ("3,5,4", "3,6,3,2", "conv_transpose2d(%x, @w, stride=(2, 3), padding=(1, 0), output_padding=(1, 0))"),
    "transposed, groups": ("4,5,4", "4,3,3,3", "conv_transpose2d(%x, @w, stride=(2, 1), dilation=(1, 2), groups=2)"),
    "transposed, cut": ("2,6", "2,3,2", "conv_transpose1d(%x, @w, stride=(1,), padding=(2,))"),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_rows_times_the_matrix_are_the_outputs(kind: str) -> None:
    size, weight, op = LAYERS[kind]
    node = parse(f"graph g(%x: float32[N,{size}])\n@w: float32[{weight}]\n%y = {op}\nreturn %y").nodes[0]
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, *map(int, size.split(",")), generator=generator)
    w = torch.randn(*map(int, weight.split(",")), generator=generator)
    layer = MatrixLayer.of(node)
    y = node.op.run(x, w)
    assert isinstance(y, torch.Tensor)
    count = layer.count(x)
    assert count * w.shape[1 if "transpose" in op else 0] * (layer.groups if "transpose" in op else 1) == y.numel()
    picks = torch.randperm(count, generator=generator)[:17].sort()[0]
    rows, matrix = layer.rows(x, picks), layer.matrix(w)
    assert rows.shape == (len(picks), layer.groups, layer.inputs) and matrix.shape[2] == layer.inputs
    got = torch.einsum("mgi,goi->mgo", rows, matrix)
    torch.testing.assert_close(got, layer.outputs(y, picks), rtol=1e-4, atol=1e-4)
    assert torch.equal(layer.weight(matrix), w)
