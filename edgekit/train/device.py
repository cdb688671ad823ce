"""Where a training runs: ``accelerate`` finds the devices and the processes, and shares gradients between them."""

from __future__ import annotations

import warnings
from typing import Any

from edgekit.errors import UsageError


def accelerator(precision: str) -> Any:
    """An ``accelerate.Accelerator`` for this process.

    Args:
        precision: as in ``Training.precision``.

    Raises:
        UsageError: accelerate is not installed, or the processes were started with another precision.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its dependencies' notes about optional parts
            from accelerate import Accelerator, DistributedDataParallelKwargs
            from accelerate.state import AcceleratorState
    except ModuleNotFoundError as error:
        raise UsageError(
            f"training needs '{error.name}', which is not installed",
            where="a step that trains",
            hint='pip install "edgekit[train]"',
        ) from error
    wanted = "bf16" if precision == "bfloat16" else "no"
    AcceleratorState._reset_state()  # a training before this one in the same process may have had another precision
    # Not every parameter takes part in every step: exits that are trained in turns, tensors that nothing reads.
    shared = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(mixed_precision=wanted, kwargs_handlers=[shared])
