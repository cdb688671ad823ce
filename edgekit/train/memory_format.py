"""The order in memory in which a network is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.ir import Graph, ops

_IMAGES = (ops.Conv2d, ops.ConvTranspose2d)


class MemoryFormat:
    """Channels-last where a graph has two-dimensional convolutions, else as tensors come.

    Numbers are those of the other order but for rounding. oneDNN's convolutions over few channels take half the time, because
    they need not rearrange what goes in and comes out, and batch norm and ReLU read it in a row.
    """

    def __init__(self, graph: Graph) -> None:
        self.is_channels_last = any(isinstance(node.op, _IMAGES) for node in graph.nodes)

    def arrange(self, module: nn.Module) -> None:
        """Rearranges the parameters and buffers of four dimensions; they stay the same objects."""
        if self.is_channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def restore(self, module: nn.Module) -> None:
        """Gives them the order that everybody else expects."""
        if self.is_channels_last:
            module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def going_in(self, tensors: list[Tensor]) -> list[Tensor]:
        """Inputs of the network."""
        if not self.is_channels_last:
            return tensors
        return [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in tensors]

    def coming_out(self, tensors: list[Tensor]) -> list[Tensor]:
        """What other people's losses see, who may call ``view``."""
        return [tensor.contiguous() for tensor in tensors] if self.is_channels_last else tensors
