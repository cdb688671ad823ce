"""docs/precisions.md says what the runtimes do, and edgekit refuses what it says they refuse or compute wrongly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edgekit as ek
from benchmarks.precisions import PAGE, kinds, tables
from edgekit.compress.quantize.policy import LITERT, ONNXRUNTIME
from edgekit.compress.quantize.weight_kernels import kind_of, takes
from edgekit.ir import Node
from edgekit.precision import Precision


def section(name: str) -> list[str]:
    text = PAGE.read_text()
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0].splitlines()


def cells(name: str) -> dict[tuple[str, str], str]:
    """A table by row and column."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section(name)]
    return {(row[0], title): cell for row in rows[2:] for title, cell in zip(rows[0][1:], row[1:], strict=True)}


def nodes() -> dict[str, Node]:
    found = {}
    for kind, (module, shape) in kinds().items():
        graph = ek.load(nn.Sequential(module).eval(), example_inputs=(torch.zeros(1, *shape),))
        node = next(node for node in graph.nodes if kind_of(node) is not None)
        assert kind_of(node) == kind
        found[kind] = node
    return found


@pytest.mark.parametrize("policy", [LITERT, ONNXRUNTIME], ids=lambda policy: policy.runtime)
def test_edgekit_writes_the_layers_that_the_runtime_computes_and_no_others(policy: object) -> None:
    runtime = policy.runtime  # type: ignore[attr-defined]
    layers = nodes()
    for (kind, title), cell in cells(runtime).items():
        precision = Precision(*title.split(" x "))  # type: ignore[arg-type]
        computed = cell not in ("refused", "**wrong**")
        if cell == "float" and runtime == "litert":  # no kernel for such a weight: it stays float
            continue
        assert takes(runtime, layers[kind], precision) == computed, (kind, title, cell)


def test_every_op_that_stays_in_16_bits_is_simulated_exactly() -> None:
    table = cells("int16")
    kept = {op for (op, column), cell in table.items() if column == "edgekit keeps it in" and cell == "int16"}
    assert kept and all("simulated exactly" in table[op, "LiteRT"] for op in kept)


@pytest.mark.slow
def test_the_page_is_what_the_runtimes_do_now() -> None:
    fresh = tables()
    for name, lines in fresh.items():
        assert section(name) == lines, name
