"""Products of one tensor with itself, where XNNPACK would read a factor in the wrong order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.export.tflite.exporter import export
from edgekit.frontend.source import load
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.artifact import Artifact, Kernels
from tests.export.tflite.running import op_counts


class Squared(nn.Module):
    """Each channel's map times itself; what comes from a convolution is transposed for the product."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x)
        return y @ y


@pytest.mark.parametrize(("body", "copies"), [(nn.Conv2d(6, 6, 1), 1), (nn.ReLU(), 0)], ids=["transposed", "as it comes"])
@pytest.mark.parametrize("kernels", ["default", "builtin"])
def test_a_tensor_times_itself_is_right_in_all_kernels(body: nn.Module, copies: int, kernels: Kernels) -> None:
    x, network = torch.randn(3, 6, 4, 4, generator=torch.Generator().manual_seed(0)), Squared(body).eval()
    file = export(run_passes(load(network, (x[:1],)), EXACT)[0])
    assert op_counts(file).get("SLICE", 0) == copies
    with torch.no_grad():
        np.testing.assert_allclose(Artifact(file, kernels=kernels).run(x.numpy()), network(x).numpy(), atol=1e-4)
