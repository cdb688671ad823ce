"""Signs between operators: packed ones are kept, and expanded to 8-bit integers only where somebody reads them so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.export.tflite.element_types import quantization
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.larq.bits import WORD, words
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType


def new(site: Site, shape: Sequence[int]) -> int:
    """A tensor of packed signs, by its shape in words."""
    return site.new(shape, TensorType.INT32)


def quantized(site: Site, x: int) -> int:
    """LceQuantize: a tensor's signs, along its last axis."""
    shape = site.sheet.tensors[x].shape
    out = new(site, (*shape[:-1], words(shape[-1])))
    site.sheet.custom("LceQuantize", [x], [out])
    return out


def packed(site: Site) -> int:
    """What a convolution reads, packed along the last axis of its form; packed once for all readers."""
    key = (id(site.node.input(0)), site.input_form(0))
    if key not in site.to.packed:
        site.to.packed[key] = quantized(site, site.read())
    return site.to.packed[key]


def packed_vector(site: Site) -> int:
    """What a linear layer reads as one pixel: (N, 1, 1, words)."""
    form = site.input_form(0)
    key, batch = (id(site.node.input(0)), form), site.to.batch
    features = int(np.prod(site.shape(0)[1:]))
    whole_words = form.physical[-1] % WORD == 0 or form.physical[-1] == features
    if key in site.to.packed and whole_words:
        return shaped(site, site.to.packed[key], (batch, 1, 1, words(features)))
    x = site.read()
    if site.sheet.tensors[x].shape != (batch, 1, 1, features):
        flat = site.new_like(x, (batch, 1, 1, features))
        site.to.reshape(x, flat)
        x = flat
    return quantized(site, x)


def shaped(site: Site, bits: int, shape: Sequence[int]) -> int:
    """Packed signs under another shape."""
    if site.sheet.tensors[bits].shape == tuple(shape):
        return bits
    out = new(site, shape)
    site.to.reshape(bits, out)
    return out


def reversed_axes(site: Site, x: int, axes: Sequence[int]) -> int:
    """REVERSE_V2 of height (0) and width (1)."""
    for axis in axes:
        out = site.new_like(x, site.sheet.tensors[x].shape)
        site.sheet.operator(BuiltinOperator.REVERSE_V2, [x, site.sheet.ints([1 + axis])], [out], Options("ReverseV2Options"))
        x = out
    return x


def give(site: Site, bits: int) -> None:
    """Make packed signs the node's result. Where somebody reads 8-bit integers, LceDequantize makes them then."""
    value, form = site.node.output, site.form
    site.to.packed[id(value), form] = bits

    def expand() -> None:
        shape = (*site.sheet.tensors[bits].shape[:-1], form.physical[-1])
        out = site.sheet.activation(shape, TensorType.INT8, quantization(value.quant))
        site.sheet.custom("LceDequantize", [bits], [out])
        if shape != form.physical:
            named = site.to.like(value, form.physical)
            site.to.reshape(out, named)
            out = named
        site.to.bind(value, form, out)

    site.to.defer(value, form, expand)
