"""Numbers of few binary digits: what a file stores of them packs well."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def rounded(tensor: Tensor, digits: int) -> Tensor:
    """The nearest numbers of so many binary digits, each at most 2^-digits of itself away."""
    fractions, exponents = np.frexp(tensor.cpu().double().numpy())
    return torch.from_numpy(np.ldexp(np.rint(np.ldexp(fractions, digits)), exponents - digits)).to(tensor.dtype)
