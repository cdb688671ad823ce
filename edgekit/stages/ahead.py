"""What is known to be in vain before a recipe begins, which may train for hours. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.compress.order import require_order
from edgekit.compress.qat.step import QAT
from edgekit.config import BuildRequest
from edgekit.errors import UsageError
from edgekit.target import Target

if TYPE_CHECKING:
    from edgekit.compress.steps import Step


def require_use(steps: Sequence[Step], targets: Sequence[Target], request: BuildRequest) -> None:
    """Refuses steps in an impossible order, a step ``qat`` that no target can hold, and types that are to be chosen behind it.

    A target that does not fit beside others that do fails on its own, after the training.

    Raises:
        UsageError: one of these; ConfigError for an order that a file has.
    """
    require_order(steps, file=request.config_file)
    trained = next((step for step in steps if isinstance(step, QAT)), None)
    if trained is None:
        return
    misfits = {target.name: reason for target in targets if (reason := _misfit(trained, target)) is not None}
    if len(misfits) == len(targets):
        listed = "; ".join(f"'{name}' {reason}" for name, reason in misfits.items())
        raise UsageError(
            f"no target can hold what the step 'qat' trains, {_types(trained)} and int8 activations: {listed}",
            where=request.config_file or "the recipe's step 'qat'",
            hint="a target of 8 bits (tflite-int8, tflm-int8, onnx-int8); tflite-w4a8 and onnx-w4a8 for weights of 4 and 2",
        )
    settings = request.quantization
    chosen = {"layers": settings.layers, "budget": settings.budget, "fallback": settings.fallback}
    if names := [name for name, value in chosen.items() if value]:
        raise UsageError(
            f"[quantization] {names[0]} can change nothing: the step 'qat' trains the integers",
            where=request.config_file or f"[quantization] {names[0]}",
            hint="`weights` and `layers` of the step 'qat'",
        )


def _misfit(step: QAT, target: Target) -> str | None:
    """Why a target can't hold what a step trains, whatever the network is."""
    held = target.quantization.precision
    if held.activations != "int8":
        return f"computes in {held.activations}"
    return "stores int4 weights" if held.weights == "int4" and _types(step) == "int8 weights" else None


def _types(step: QAT) -> str:
    """The types that weights may be trained in, in words."""
    return f"{' and '.join(dict.fromkeys((step.weights, *step.layers.values())))} weights"
