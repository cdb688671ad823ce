"""A report with something in every part: ResNet-20 with random weights, quantised by its own extremes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from edgekit.formats.description import SizeBreakdown
from edgekit.formats.stream_record import StreamOutput
from edgekit.ir import Graph, QuantParams, Value, Where
from edgekit.ir.drawing import to_svg
from edgekit.ir.history import StepRecord
from edgekit.layer_errors import LayerError, layer_errors
from edgekit.report import (
    ArtifactInfo,
    BudgetCheck,
    Declined,
    Evaluation,
    IoInfo,
    IoTensor,
    PassInfo,
    Report,
    SourceInfo,
    StreamInfo,
    Verification,
)
from edgekit.report.from_graph import graph_summary, layers
from edgekit.report.snippets import kotlin_snippet, python_snippet
from tests.ir.networks import resnet20


def by_extremes(graph: Graph, batch: list[torch.Tensor], only: str | None = None) -> Graph:
    """The graph with int8 activations between their extremes and symmetric int8 weights, or with one value alone quantised."""
    out = graph.copy()
    found: dict[str, tuple[float, float]] = {}

    def see(value: Value, tensor: torch.Tensor) -> None:
        found[value.name] = (min(0.0, float(tensor.min())), max(0.0, float(tensor.max())))

    with torch.no_grad():
        graph.module().eval().run(batch, observe=see)
    for node in out.nodes:
        if only not in (None, node.name):
            continue
        for value in (*node.outputs, *(() if only else node.inputs)):
            if value is not None and value.name in found:
                low, high = found[value.name]
                scale = max(high - low, 1e-6) / 255
                value.quant = QuantParams("int8", (scale,), (round(-128 - low / scale),))
        for value in node.inputs:
            if value is not None and value.is_constant and value.type.rank > 1:
                largest = value.tensor.detach().flatten(1).abs().amax(1).clamp_min(1e-6) / 127
                value.quant = QuantParams("int8", tuple(largest.tolist()), (0,) * len(largest), 0, True)
    return out


@cache
def sample() -> Report:
    graph = resnet20(width=4)
    for index, node in enumerate(graph.nodes):
        node.where = (Where(node.name, "models/resnet.py", 30 + index, "forward"),)
    batch = [torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))]
    exported = by_extremes(graph, batch)
    output = graph.outputs[0].name
    alone = {
        node.name: layer_errors(graph, by_extremes(graph, batch, node.name), [batch])[output].sqnr_db
        for node in graph.nodes[:14]
    }
    errors: dict[str, LayerError] = layer_errors(graph, exported, [batch])
    image = IoTensor("x", (1, 32, 32, 3), (None, 3, 32, 32), "channels_last", "int8", 0.0186584, -14)
    logits = IoTensor("linear", (1, 10), (None, 10), "source", "int8", 0.1712, 8)
    labels = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    snippets = {
        "python": python_snippet("resnet20.tflite", [image], [logits], labels),
        "kotlin": kotlin_snippet("resnet20.tflite", [image], [logits], labels),
    }
    return Report(
        source=SourceInfo(
            "models.resnet:resnet20",
            "resnet20",
            "torch",
            "5d" * 32,
            "resnet20_cifar10.th",
            "9a" * 32,
            ("dropout acts in training only and is left out",),
        ),
        target="tflite-int8",
        device="pi-zero-2w",
        tools={"edgekit": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "litert": "2.3.0"},
        config={"calibration": "cifar10.npz", "evaluate": "cifar10.npz", "labels": "labels.txt"},
        source_graph=replace(graph_summary(graph), weight_bytes=1_078_824),
        graph=replace(graph_summary(exported), macs=40_551_424),
        history=(
            StepRecord(
                "prune",
                {"criterion": "fpgm", "macs": 0.8},
                (51_200_000, 40_551_424),
                (330_000, graph.parameters),
                (1_320_000, 4 * graph.parameters),
                {"top1": (0.9243, 0.9201)},
                312.4,
                declined={"linear": "its output is the model's"},
            ).as_dict(),
        ),
        passes=(
            PassInfo("fold_batch_norm", 19),
            PassInfo("fuse_activation", 19),
            PassInfo(
                "merge_pad", 0, (Declined("pad", "the padded dimension is the channel", "layer2.0 (models/resnet.py:41)"),)
            ),
        ),
        artifact=ArtifactInfo(
            "resnet20.tflite",
            283_612,
            "c0" * 32,
            "tflite",
            {"CONV_2D": 19, "ADD": 9, "PAD": 2, "STRIDED_SLICE": 2, "MEAN": 1, "FULLY_CONNECTED": 1},
            SizeBreakdown(270_896, 7_520, 412, 4_784),
            49_152,
            57_344,
        ),
        io=IoInfo((image,), (logits,), labels, snippets),
        layers=tuple(
            replace(row, dtype="float32", scale=None, float_reason="its integer form runs outside the fast kernels")
            if row.op.startswith("slice") and row.name == "slice"
            else row
            for row in layers(exported, errors, alone)
        ),
        verification=(
            Verification("source", "LiteRT", "2.3.0", "default", 256, 33.14, 0.412, 0.9922, None, 15.0),
            Verification("source", "LiteRT", "2.3.0", "reference", 16, 33.32, 0.398, 1.0),
            Verification("simulation", "LiteRT", "2.3.0", "reference", 16, float("inf"), 0.0, 1.0, 1.0),
        ),
        evaluation=(Evaluation("top1", 0.9243, 0.9243, 0.9231), Evaluation("macro_f1", 0.9241, 0.9241, 0.923)),
        budget=(
            BudgetCheck("model_bytes", 300_000, 283_612, "device", True),
            BudgetCheck("peak_memory_bytes", 25_165_824, None, "device", None, "measured on the device only"),
            BudgetCheck("model_bytes", 284_000, 283_612, "baseline", True),
        ),
        warnings=("calibration has 64 samples; 256 are usual",),
        timings={"read": 0.9, "passes": 0.08, "quantize": 2.31, "export": 0.05, "verify": 0.72},
        drawing=to_svg(exported),
        streaming=StreamInfo(2, 50, {"x": 2}, "io", 3, 830, 1_400, 17_200, ({**vars(StreamOutput("linear", ready=25))},)),
    )
