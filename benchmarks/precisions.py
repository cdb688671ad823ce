"""Which precisions the runtimes compute, and how: every kind of layer and every op, by running it.

    python -m benchmarks.precisions

One-layer files are written with every weight and activation type, whatever edgekit itself would refuse, and run; one-op files
with 16-bit activations likewise. Writes the tables of docs/precisions.md; a test runs this again and compares.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.checks import table
from edgekit.errors import EdgekitError
from edgekit.ir import Graph
from edgekit.precision import LayerPrecision, Precision, PrecisionPlan

PAGE = Path(__file__).resolve().parent.parent / "docs" / "precisions.md"

PRECISIONS = tuple(
    Precision(weights, activations) for activations in ("int8", "int16", "float32") for weights in ("int8", "int4")
)

#: Below this, in dB, a runtime computes something else than the layer.
_WRONG = 10.0


def kinds() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """A layer of every kind, with the shape of its sample."""
    torch.manual_seed(0)
    return {
        "convolution": (nn.Conv2d(32, 24, 3, padding=1), (32, 12, 12)),
        "grouped": (nn.Conv2d(32, 24, 3, groups=4), (32, 12, 12)),
        "depthwise": (nn.Conv2d(32, 32, 3, groups=32), (32, 12, 12)),
        "transposed": (nn.ConvTranspose2d(32, 24, 3), (32, 12, 12)),
        "linear": (nn.Linear(64, 40), (64,)),
    }


def main() -> int:
    """Run and write the page's tables."""
    torch.set_num_threads(1)
    text = PAGE.read_text()
    for name, lines in tables().items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not mark or not end:
            raise ValueError(f"{PAGE.name} has no place for '{name}'")
        text = before + mark + "\n".join(lines) + "\n" + end + after
    PAGE.write_text(text)
    return 0


def tables() -> dict[str, list[str]]:
    """The tables of the page by name, freshly measured."""
    versions = f"LiteRT {metadata.version('ai-edge-litert')}, ONNX Runtime {metadata.version('onnxruntime')}, x86-64."
    layers = {runtime: [*table(list(_layers(runtime)))] for runtime in ("litert", "onnxruntime")}
    return {"versions": [versions], **layers, "int16": table(list(_ops()))}


def _layers(runtime: str) -> Iterator[dict[str, str]]:
    for kind, (module, shape) in kinds().items():
        cells = {_title(precision): _cell(runtime, module, shape, precision) for precision in PRECISIONS}
        yield {"layer": kind, **cells}


def _title(precision: Precision) -> str:
    return f"{precision.weights} x {precision.activations}"


def _cell(runtime: str, module: nn.Module, shape: tuple[int, ...], precision: Precision) -> str:
    """What a runtime makes of one layer."""
    from edgekit.export.onnx import export as export_onnx
    from edgekit.export.tflite.exporter import export as export_tflite
    from edgekit.ir import simulate
    from edgekit.metrics import sqnr_db
    from edgekit.runtime.artifact import Artifact
    from edgekit.runtime.litert import LiteRT

    x = torch.randn(8, *shape, generator=torch.Generator().manual_seed(1))
    graph = quantized(module, x, precision, runtime)
    with torch.no_grad():
        wanted = graph.module().eval().run([x.clone()])[0].numpy()
    content = export_tflite(graph) if runtime == "litert" else export_onnx(graph)
    try:
        file = Artifact(content)
        error = sqnr_db(wanted, file.run_flat([x.numpy()])[0])
    except EdgekitError:
        return "refused"
    if error < _WRONG:
        return "**wrong**"
    if runtime == "onnxruntime":
        return _in_onnxruntime(content)
    by = "XNNPACK" if "DELEGATE" in LiteRT(content).op_counts() else "own kernel"
    if precision.activations == "float32":
        return by if graph.state["0.weight"].quant is not None else "float"
    return f"{by}, {_exact(content, simulate(graph, x).numpy(), x)}"


def _exact(content: bytes, simulated: NDArray[Any], x: torch.Tensor) -> str:
    """Whether the reference kernels give the simulation's integers."""
    from edgekit.runtime.artifact import Artifact

    try:
        reference = Artifact(content, kernels="reference").run_flat([x.numpy()])[0]
    except EdgekitError:
        return "no reference kernel"
    return "simulated exactly" if np.array_equal(reference, simulated) else "simulation differs"


def _in_onnxruntime(content: bytes) -> str:
    from edgekit.runtime.onnx_optimized import optimized_operators

    found = optimized_operators(content)
    return (
        "integers" if any(name.startswith(("QLinear", "QGemm", "ConvInteger", "MatMulInteger")) for name in found) else "float"
    )


def quantized(module: nn.Module, x: torch.Tensor, precision: Precision, runtime: str) -> Graph:
    """One layer in a precision, whether or not edgekit would write it for the runtime."""
    import edgekit as ek
    from edgekit.compress.quantize.dynamic_range import quantize_weights_only
    from edgekit.compress.quantize.policy import LITERT, ONNXRUNTIME
    from edgekit.compress.quantize.post_training import PostTraining, quantize
    from edgekit.passes import EXACT, run_passes

    policy = replace(LITERT if runtime == "litert" else ONNXRUNTIME, runtime="onnxruntime")  # whose table refuses nothing
    graph, _ = run_passes(ek.load(nn.Sequential(module).eval(), example_inputs=(x[:1],)), EXACT)
    plan = PrecisionPlan(Precision("int8", precision.activations), {"0": LayerPrecision(precision.weights)})
    if precision.activations == "float32":
        return quantize_weights_only(graph, smallest=1, plan=plan, policy=policy)
    return quantize(graph, [[x]], policy=policy, options=PostTraining("min_max", bias_correction=False), plan=plan)[0]


def _ops() -> Iterator[dict[str, str]]:
    """What LiteRT makes of every op that has an 8-bit kernel, with 16-bit activations."""
    from edgekit.compress.quantize.policy import LITERT
    from tests.ir.integer.test_nodes import CASES
    from tests.ir.integer.test_sixteen_bit import verdict

    found: dict[str, list[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in CASES:
            kept = type(case.op) in (LITERT.integer | LITERT.either) - LITERT.only_8_bit - LITERT.undelegated
            found.setdefault(case.op.name, []).append(f"{verdict(case)}|{'int16' if kept else 'float'}")
    for name, cells in sorted(found.items()):
        told = dict.fromkeys(cell.split("|")[0] for cell in cells)
        yield {"op": name, "LiteRT": "; ".join(told), "edgekit keeps it in": cells[0].split("|")[1]}


if __name__ == "__main__":
    raise SystemExit(main())
