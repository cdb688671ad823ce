"""Linear layers that can't be stored in few bits keep the 8 that calibration gave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek

torch.set_num_threads(1)


@pytest.mark.parametrize("magnitude", [0.0, 1e-7, 0.3])
def test_a_weight_of_one_magnitude_is_packed_only_where_its_bias_stays_in_range(magnitude: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval(), torch.randn(64, 4)
    with torch.no_grad():
        model[0].weight.copy_(torch.where(torch.randn(6, 4) >= 0, magnitude, -magnitude))
        model[0].bias.copy_(torch.tensor([1.0, -1.0, 2.0, 0.0, 0.5, 3.0]))
        wanted = model(x)
    built = ek.build(model, "tflite-binary", example_inputs=x[:1], calibration=x.numpy(), output=tmp_path)
    assert built.report.verification[-1].equal_integers == 1.0
    stored = built.report.layers[0].weight_bytes - 4 * 6  # without the bias
    assert stored == (6 * 4 // 4 if magnitude == 0.3 else 6 * 4), "2 bits a weight, or 8"
    np.testing.assert_allclose(ek.run(built.artifact, x.numpy()), wanted.numpy(), atol=0.05)
