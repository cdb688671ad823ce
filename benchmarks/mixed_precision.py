"""ResNet-20 with a precision for every layer, chosen for budgets of bytes: what was predicted, and what came out.

    python -m benchmarks.mixed_precision

The noise of each layer in 4 and in 8 bits is measured once on 64 training images; for each budget an integer program chooses,
and the choice is measured: SQNR of the logits on those images, top-1 on 500 test images (fake-quantised, weights rounded to the
nearest). Records ``results/mixed_precision.json`` and the table of README.md.
"""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Any

import torch

from benchmarks import networks
from benchmarks.checks import into_readme, record, table

#: Shares of int8's bytes that are budgets.
SHARES = (0.8, 0.7, 0.6)

CALIBRATION, IMAGES = 64, 500


def main() -> int:
    """Measure, choose, print, record."""
    if not networks.available():
        print(f"the data ({networks.DATA}) is not there", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    rows = _rows()
    versions = {"torch": metadata.version("torch"), "scipy": metadata.version("scipy")}
    record("mixed_precision", {"versions": versions, "figures": rows}, [])
    into_readme("mixed_precision", _lines(rows))
    return 0


def _rows() -> list[dict[str, Any]]:
    from edgekit.compress.mixed_precision.application import choose
    from edgekit.compress.mixed_precision.choice import Mixed
    from edgekit.compress.mixed_precision.costs import INT8, W4A8, price
    from edgekit.compress.mixed_precision.mixer import Mixer
    from edgekit.compress.mixed_precision.solve import Solution
    from edgekit.compress.quantize.post_training import PostTraining
    from edgekit.frontend.source import load
    from edgekit.ir import Graph
    from edgekit.passes import DECOMPOSE, EXACT, run_passes
    from edgekit.passes.decompose_activations import DECOMPOSE_FOR_INTEGERS
    from edgekit.precision import PrecisionBudget

    network = networks.RESNET20
    images, truth = (torch.from_numpy(array) for array in networks.test_images(IMAGES))
    source = load(network.module(softmax=False), (network.example(),))
    graph, _ = run_passes(source, (*EXACT, *DECOMPOSE, *DECOMPOSE_FOR_INTEGERS))
    calibration = [[torch.from_numpy(network.samples(CALIBRATION, 0))]]
    mixer = Mixer(graph, calibration, options=PostTraining("min_max"), allow_slower=True)
    problem = mixer.problem()

    def top1(quantized: Graph) -> float:
        with torch.no_grad():
            scores = quantized.module().eval().run([images])[0]
        return float((scores.argmax(1) == truth).double().mean())

    def row(title: str, mixed: Mixed) -> dict[str, Any]:
        found = {
            "layers": title,
            "bytes": mixed.bytes,
            "in_4_bits": sum(choice.precision == W4A8 for choice in mixed.choices),
            "predicted_db": mixed.predicted_sqnr_db,
            "sqnr_db": mixed.sqnr_db,
            "top1": top1(mixer.quantized(mixed.plan)),
        }
        print(found, flush=True)
        return found

    def all_in(index: int) -> Mixed:
        return mixer.chosen(problem, Solution(tuple(min(index, len(layer) - 1) for layer in problem.layers)))

    int8 = sum(price(node, INT8).bytes for node in mixer.nodes)
    places = {precision: mixer.candidates[0].index(precision) for precision in (INT8, W4A8)}
    rows = [row("int8", all_in(places[INT8]))]
    rows += [
        row(f"{share:.0%} of the bytes", choose(mixer, PrecisionBudget(int(int8 * share)), problem=problem)) for share in SHARES
    ]
    return [*rows, row("int4", all_in(places[W4A8])), {"layers": "float", "top1": top1(graph)}]


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    shown = [
        {
            "layers": row["layers"],
            "bytes": f"{row['bytes']:,}" if "bytes" in row else "",
            "in 4 bits": str(row.get("in_4_bits", "")),
            "predicted, dB": f"{row['predicted_db']:.1f}" if "predicted_db" in row else "",
            "measured, dB": f"{row['sqnr_db']:.1f}" if "sqnr_db" in row else "",
            "top-1": f"{row['top1']:.1%}",
        }
        for row in rows
    ]
    return [
        *table(shown),
        "",
        f"Bytes of weights, biases and scales. SQNR of the logits on the {CALIBRATION} images of the calibration; predicted as",
        f"if errors were independent. Top-1 on {IMAGES} test images, on which a point is five images: a trend, not a ranking.",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
