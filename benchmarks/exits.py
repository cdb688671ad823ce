"""What the suite of early exits measures: trained networks with exits, the cost of IF, and decisions of files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import edgekit as ek
from benchmarks import networks
from benchmarks.lottery import images
from benchmarks.networks import RESNET20
from edgekit.bench.qemu import count
from edgekit.bench.qemu.counting import Count
from edgekit.compress.quantize.policy import POLICIES
from edgekit.compress.quantize.post_training import quantize
from edgekit.export.onnx.convert import export as export_onnx
from edgekit.export.tflite.exporter import export
from edgekit.ir import Graph, Node, ops, simulate
from edgekit.ir.ops import certainty
from edgekit.passes.base import run_passes
from edgekit.passes.pipeline import EXACT
from edgekit.runtime.artifact import Artifact
from examples.msdnet.net import MsdNet

Array = NDArray[Any]
Arrays = tuple[Array, Array]
Figures = dict[str, Any]

CORES = ("cortex-a53", "cortex-a76")

#: A score this near to its threshold may fall on either side in another runtime's float32.
_CLOSE = 1e-5


class LeNet(nn.Sequential):
    """Three convolutions, two of them followed by pooling, and two linear layers."""

    def __init__(self) -> None:
        first = nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)
        second = nn.Conv2d(8, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)
        third = nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()
        super().__init__(*first, *second, *third, nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))


def _step(case: str, seed: int, quick: bool) -> ek.EarlyExit:
    heads = ek.Training(optimizer="adam", lr=2e-3, weight_decay=1e-4, batch_size=256, seed=seed)
    if case == "lenet":
        return ek.EarlyExit(at=("2",), head=ek.Head(pool=7), epochs=1 if quick else 10, training=heads, max_drop=0.3)
    heads = ek.Training(
        optimizer="sgd",
        lr=0.05,
        nesterov=True,
        warmup=0.5,
        batch_size=64,
        seed=seed,
        augment="benchmarks.altered:halves",
        validation=0.2,
    )
    return ek.EarlyExit(
        at=("layer2.0", "layer3.0"),
        head=(ek.Head(stages=(64,), blocks=2, hint=2.0), ek.Head(stages=(64,), blocks=1, hint=2.0)),
        views=6,
        self_distillation=0.8,
        temperature=2.0,
        ensemble=True,
        held_out_augment="benchmarks.altered:halves",
        epochs=1 if quick else 6,
        training=heads,
        score="margin",
        max_drop=0.5,
        caution=0.0,
    )


def _data(case: str, quick: bool) -> tuple[Arrays, Arrays]:
    train, test = images() if case == "lenet" else (networks.images("train"), networks.images("test"))
    few = 1000 if quick else None
    return (train[0][:few], train[1][:few]), (test[0][:few], test[1][:few])


def network_with_exits(case: str, seed: int, work: Path, *, quick: bool = False) -> Figures:
    """A trained network that got exits: top-1 and mean instructions on the test images."""
    train, test = _data(case, quick)
    graph = _with_exits(case, seed, work, train, test, quick)
    shown = graph.history[-1].details["evaluation"]
    rates = [row["rate"] for row in shown["exits"]]
    file = export(_lowered(graph))
    whole = _count(export(_lowered(_network(graph)))).per_inference
    paths = _count(file).paths
    mean = sum(rate * cost for rate, cost in zip(rates, paths, strict=True))
    return {
        "top1": shown["top1"],
        "top1_whole": shown["top1_of_last"],
        "top1_alone": [row["top1_alone"] for row in shown["exits"]],
        "rates": rates,
        "macs": shown["cost"],
        "instructions": list(paths),
        "instructions_whole": whole,
        "instructions_mean": mean,
        "share": mean / whole,
        "bytes": len(file),
        "exits": graph.history[-1].details["held_out"]["exits"],
    }


def multi_scale(work: Path, *, quick: bool = False) -> Figures:
    """A multi-scale dense network for Fashion-MNIST, trained with two exits from the start: its int8 file on test images."""
    train, test = images()
    few = 1000 if quick else 20000
    train = train[0][:few], train[1][:few]
    test = (test[0][:500], test[1][:500]) if quick else test
    torch.manual_seed(0)
    graph = ek.load(MsdNet(1, 10), example_inputs=(torch.zeros(1, 1, 28, 28),))
    step = ek.EarlyExit(
        at=("blocks.0", "blocks.1"),
        freeze=False,
        epochs=1 if quick else 5,
        training=ek.Training(optimizer="adam", lr=3e-3, batch_size=128, validation=0.25),
        max_drop=0.3,
        caution=0.0,
    )
    graph = ek.Recipe([step]).apply(graph, ek.Data(train=train, evaluate=test), folder=work)
    shown = graph.history[-1].details["evaluation"]
    whole, _ = quantize(_lowered(graph), [[torch.from_numpy(train[0][:256])]])
    file = export(whole)
    x, y = test[0][:2000], test[1][:2000]
    flat, places = _of_flat(_op(whole), [Artifact(export(_exit(whole, i))).run(x) for i in range(3)])
    answers = Artifact(file).run(x)
    costs = _count(file).paths
    rates = np.bincount(places, minlength=3) / len(places)
    alone = _count(export(_exit(whole, 2))).per_inference
    return {
        "top1": shown["top1"],
        "top1_whole": shown["top1_of_last"],
        "top1_alone": [row["top1_alone"] for row in shown["exits"]],
        "top1_int8": float((answers.argmax(1) == y).mean()),
        "different": int((answers != flat).any(1).sum()),
        "samples": len(y),
        "rates": [float(rate) for rate in rates],
        "macs": shown["cost"],
        "instructions": list(costs),
        "instructions_whole": alone,
        "instructions_mean": float(np.dot(rates, costs)),
        "share": float(np.dot(rates, costs)) / alone,
        "bytes": len(file),
    }


def _with_exits(case: str, seed: int, work: Path, train: Arrays, test: Arrays, quick: bool) -> Graph:
    step, data = _step(case, seed, quick), ek.Data(train=train, evaluate=test)
    if case == "resnet20":
        graph = ek.load(RESNET20.module(), example_inputs=(torch.zeros(1, 3, 32, 32),))
        return ek.Recipe([step]).apply(graph, data, folder=work)
    torch.manual_seed(seed)
    graph = ek.load(LeNet(), example_inputs=(torch.zeros(1, 1, 28, 28),))
    fit = ek.FineTune(epochs=1 if quick else 4, optimizer="adam", lr=2e-3, seed=seed)
    return ek.Recipe([fit, step]).apply(graph, data, folder=work)


def _lowered(graph: Graph) -> Graph:
    return run_passes(graph, EXACT)[0]


def _op(graph: Graph) -> ops.ChooseExit:
    op = _choice(graph).op
    assert isinstance(op, ops.ChooseExit)
    return op


def _choice(graph: Graph) -> Node:
    return next(node for node in graph.nodes if isinstance(node.op, ops.ChooseExit))


def _exit(graph: Graph, index: int) -> Graph:
    """A flat graph of one exit alone."""
    out = graph.copy()
    out.outputs, out.signature = [_choice(out).input(index)], None
    out.eliminate_dead()
    return out


def _network(graph: Graph) -> Graph:
    """The network as it was before it got exits: without what an ensemble adds to its answer."""
    last = _choice(graph).inputs[-1]
    assert last is not None and last.producer is not None
    out = _exit(graph, len(_choice(graph).inputs) - 1)
    if isinstance(last.producer.op, ops.Add):
        own = last.producer.input(0).name
        out.outputs = [next(value for value in out.values() if value.name == own)]
        out.eliminate_dead()
    return out


def _logits(graph: Graph, x: Array) -> list[torch.Tensor]:
    """Of all exits of the float graph."""
    whole = graph.copy()
    whole.outputs, whole.signature = [v for v in _choice(whole).inputs if v is not None], None
    module = whole.module().eval()
    with torch.no_grad():
        parts = [module.run([torch.from_numpy(x[start : start + 250])]) for start in range(0, len(x), 250)]
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _places(op: ops.ChooseExit, logits: Sequence[torch.Tensor]) -> tuple[Array, Array]:
    """The exit of every sample, and how near the nearest score that decides comes to its threshold."""
    scores = [certainty(z, op.score, t)[:, 0].numpy() for z, t in zip(logits, op.temperatures, strict=False)]
    gaps = np.stack([np.abs(s - t) for s, t in zip(scores, op.thresholds, strict=True)]).min(0)
    passed = np.stack([s > np.float32(t) for s, t in zip(scores, op.thresholds, strict=True)])
    return np.where(passed.any(0), passed.argmax(0), len(op.thresholds)), gaps


def _count(file: bytes, core: str = "cortex-a53") -> Count:
    """Of one call, for every exit that it may take."""
    with tempfile.TemporaryDirectory(prefix="edgekit-early-exit-") as name:
        folder = Path(name)
        (folder / "net.tflite").write_bytes(file)
        return count(folder / "net.tflite", core)


def cost_of_if() -> Figures:
    """Instructions of ResNet-20 with one hardly trained exit behind its first stage, on both ways through it."""
    graph = ek.load(RESNET20.module(), example_inputs=(torch.zeros(1, 3, 32, 32),))
    x = RESNET20.samples(64, 1)
    data = (RESNET20.samples(200, 2), np.arange(200) % 10)
    low = _lowered(ek.EarlyExit(at=("layer1",), epochs=1, mean_cost=0.5).apply(graph, data))
    rows = []
    for precision, whole in (("fp32", low), ("int8", quantize(low, [[torch.from_numpy(x)]])[0])):
        files = {"exits": export(whole), "exit": export(_exit(whole, 0)), "whole": export(_exit(whole, 1))}
        for core in CORES:
            counts = {name: _count(files[name], core=core).per_inference for name in ("exit", "whole")}
            counts["early"], counts["late"] = _count(files["exits"], core=core).paths
            rows.append({"precision": precision, "core": core, **counts, "bytes": {k: len(v) for k, v in files.items()}})
    return {"counts": rows}


def decisions(work: Path, samples: int) -> Figures:
    """The LeNet-like network with exits as files of both formats: outputs beside the graph's, or beside flat files'."""
    train, test = _data("lenet", samples < 1000)
    graph = _lowered(_with_exits("lenet", 0, work, train, test, samples < 1000))
    op = _choice(graph).op
    assert isinstance(op, ops.ChooseExit)
    x = test[0][:samples]
    logits = _logits(graph, x)
    places, gaps = _places(op, logits)
    want = op.run(*logits).numpy()
    rows = [
        _compared("fp32 TFLite, default kernels", "graph", Artifact(export(graph)).run(x), want, places, gaps),
        _compared(
            "fp32 TFLite, reference kernels", "graph", Artifact(export(graph), kernels="reference").run(x), want, places, gaps
        ),
        _compared("fp32 ONNX", "graph", Artifact(export_onnx(graph)).run(x), want, places, gaps),
    ]
    calibration = [[torch.from_numpy(train[0][:64])]]
    whole, _ = quantize(graph, calibration)
    simulated = simulate(whole, torch.from_numpy(x)).numpy()
    file = export(whole)
    places = _of_flat(op, [simulate(_exit(whole, i), torch.from_numpy(x)).numpy() for i in range(len(logits))])[1]
    rows.append(
        _compared("int8 TFLite, reference kernels", "simulation", Artifact(file, kernels="reference").run(x), simulated, places)
    )
    flat, places = _of_flat(op, [Artifact(export(_exit(whole, i))).run(x) for i in range(len(logits))])
    rows.append(_compared("int8 TFLite, default kernels", "flat files", Artifact(file).run(x), flat, places))
    of_onnx, _ = quantize(graph, calibration, policy=POLICIES["onnxruntime"])
    flat, places = _of_flat(op, [Artifact(export_onnx(_exit(of_onnx, i), unsigned=True)).run(x) for i in range(len(logits))])
    rows.append(_compared("int8 ONNX", "flat files", Artifact(export_onnx(of_onnx, unsigned=True)).run(x), flat, places))
    return {"samples": samples, "thresholds": list(op.thresholds), "files": rows}


def _of_flat(op: ops.ChooseExit, outputs: Sequence[Array]) -> tuple[Array, Array]:
    tensors = [torch.from_numpy(np.ascontiguousarray(y)) for y in outputs]
    return op.run(*tensors).numpy(), _places(op, tensors)[0]


def _compared(file: str, against: str, got: Array, want: Array, places: Array, gaps: Array | None = None) -> Mapping[str, Any]:
    """Outputs that differ: integers at all, floats by more than a thousandth (another exit's logits are further away)."""
    apart = np.abs(got - want).max(1) > (0.0 if gaps is None else 1e-3)
    close = np.zeros(len(apart), bool) if gaps is None else gaps < _CLOSE
    return {
        "file": file,
        "against": against,
        "taken": [int((places == index).sum()) for index in range(int(places.max()) + 1)],
        "different": int((apart & ~close).sum()),
        "close": [int(index) for index in np.flatnonzero(close)],
    }
