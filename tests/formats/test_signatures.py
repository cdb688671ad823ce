"""Files with several signatures: what they pack is counted, and said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from edgekit.export.tflite.exporter import export
from edgekit.formats.tflite.describe import describe
from edgekit.formats.tflite.model import Model, Signature
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.signatures import packed_bytes, signature_warning
from edgekit.formats.tflite.write import write
from edgekit.frontend.source import load
from edgekit.passes.base import run_passes
from edgekit.passes.pipeline import EXACT
from tests.exits import network


def two_entries() -> Model:
    """One subgraph twice, under two signatures."""
    graph = load(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), example_inputs=(torch.zeros(2, 4),))
    model = read(export(run_passes(graph, EXACT)[0]))
    first = model.signatures[0]
    second = Signature("again", first.inputs, first.outputs, 1)
    return replace(
        model, subgraphs=(model.subgraphs[0], model.subgraphs[0]), signatures=(replace(first, key="once"), second), metadata={}
    )


def test_every_signature_counts_the_weights_of_its_own_subgraph() -> None:
    model = read(write(two_entries()))
    one = 4 * (4 * 3 + 3 + 3 * 2 + 2)
    assert packed_bytes(model) == {"once": one, "again": one}


def test_the_warning_names_the_sum_and_what_single_files_would_take() -> None:
    said = signature_warning(two_entries())
    assert said is not None and "184 bytes ('once' 92, 'again' 92)" in said and "92 at most" in said


def test_a_file_with_exits_holds_its_weights_once_and_says_nothing() -> None:
    model = read(export(network()))
    stored = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.data is not None and len(tensor.shape) in (2, 4) and tensor.type.name == "FLOAT32" and tensor.nbytes > 4:
                stored[np.frombuffer(tensor.data, np.uint8).tobytes()] = tensor.nbytes
    (size,) = packed_bytes(model).values()
    assert 0 <= size - sum(stored.values()) < 400  # biases
    assert signature_warning(model) is None


def test_a_description_of_such_a_file_says_so() -> None:
    assert "184 bytes" in describe(write(two_entries()), "two.tflite").metadata["memory"]
    assert "memory" not in describe(export(network()), "exits.tflite").metadata
