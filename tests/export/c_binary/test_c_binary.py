"""Networks in C: every integer is the simulation's, whatever compiler flags; what has no C code is refused by name."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.binarize.lowering import lower_binary
from edgekit.compress.quantize.post_training import quantize
from edgekit.errors import Unsupported
from edgekit.export.c_binary.compiled import compiler, run_compiled
from edgekit.export.c_binary.exporter import export_c
from edgekit.export.c_binary.memory import Lifetime, place
from edgekit.ir import Graph
from edgekit.ir.integer.interpreter import Simulator
from edgekit.ir.quantized_data import quantize as to_integers
from edgekit.passes import DECOMPOSE, EXACT, run_passes
from edgekit.stages import c_files
from tests.compress.binarize.networks import Layers, Pooled, Residual, binary
from tests.trained import digits

torch.set_num_threads(1)
needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")

SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def lowered(graph: Graph, x: torch.Tensor) -> Graph:
    exact, _ = run_passes(graph, (*EXACT, *DECOMPOSE))
    quantized, _ = quantize(exact, [[x]])
    lower_binary(quantized, packed=False)
    return quantized


def both(graph: Graph, x: torch.Tensor, *flags: str) -> tuple[np.ndarray, np.ndarray]:
    """What the C code gives, and what the simulation gives, channels last."""
    quant = graph.inputs[0].quant
    assert quant is not None
    integers = to_integers(x, quant)
    wanted = Simulator(graph).run([integers])[0].movedim(1, -1).reshape(len(x), -1).numpy()
    given = integers.movedim(1, -1).reshape(len(x), -1).contiguous().numpy()
    return run_compiled(export_c(graph, "net"), "net", given, flags=flags or ("-O2",)), wanted


@needs_compiler
@pytest.mark.parametrize(
    ("kind", "method", "flags"),
    [
        (Pooled, "xnor_net", SANITIZED),
        (Layers, "bnn", ("-Os", "-DEDGEKIT_PORTABLE")),
        (Residual, "react_net", SANITIZED),
        pytest.param(Pooled, "react_net", ("-O2",), marks=pytest.mark.slow),
        pytest.param(Residual, "bnn", SANITIZED, marks=pytest.mark.slow),
        pytest.param(Residual, "xnor_net", SANITIZED, marks=pytest.mark.slow),
        pytest.param(Pooled, "bnn", ("-O3",), marks=pytest.mark.slow),
        pytest.param(Pooled, "binary_connect", ("-O2", "-DEDGEKIT_PORTABLE"), marks=pytest.mark.slow),
        pytest.param(Layers, "binary_connect", SANITIZED, marks=pytest.mark.slow),
    ],
)
def test_every_integer_is_the_simulations(kind: type[nn.Module], method: str, flags: tuple[str, ...]) -> None:
    x, _, x_test, _ = digits()
    got, wanted = both(lowered(binary(kind, method), torch.from_numpy(x[:256])), torch.from_numpy(x_test), *flags)
    assert np.array_equal(got, wanted) and len(np.unique(wanted)) > 20


def network(seed: int) -> tuple[nn.Module, torch.Tensor]:
    """A chain of random geometry, and inputs for it."""
    pick, channels = random.Random(seed), random.Random(seed + 1000).choice([1, 3, 5])
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for _ in range(3):
        outputs, kernel = pick.choice([7, 31, 32, 40]), pick.choice([1, 2, 3])
        stride, padding, dilation = pick.choice([1, 2]), pick.choice([0, 1, 2]), pick.choice([1, 2])
        layers += [nn.Conv2d(channels, outputs, kernel, stride, padding, dilation), nn.BatchNorm2d(outputs), nn.ReLU()]
        if pick.random() < 0.4:
            layers.append(nn.MaxPool2d(3, 1, padding=1))
        channels = outputs
    model = nn.Sequential(*layers)
    x = torch.randn(24, model[0].in_channels, 17, 14)
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
    if pick.random() < 0.5:
        return nn.Sequential(model, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 9)).eval(), x
    flat = model.eval()(x).flatten(1).shape[1]
    return nn.Sequential(model, nn.Flatten(), nn.Linear(flat, 9)).eval(), x


@needs_compiler
@pytest.mark.parametrize("seed", [0, 3, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, *range(4, 20)))])
def test_random_chains_of_any_geometry_are_the_simulation_bit_by_bit(seed: int) -> None:
    module, x = network(seed)
    graph = ek.load(module, (x[:1],))
    method = ("bnn", "binary_connect", "xnor_net")[seed % 3 if seed else 0]
    data = ek.Data(train=(x.numpy(), np.zeros(len(x), np.int64)))
    made = ek.Binarize(method=method, epochs=0).apply(graph, data)
    got, wanted = both(lowered(made, x), x, *(SANITIZED if seed < 2 else ("-O2",)))
    assert np.array_equal(got, wanted)


@needs_compiler
def test_a_build_writes_c_that_was_compiled_and_compared(tmp_path: Path) -> None:
    x, _, x_test, _ = digits()
    graph = binary(Pooled, "xnor_net")
    build = ek.build(graph, target="c-binary", calibration=x[:256], output=tmp_path, name="my net")
    (row,) = [row for row in build.report.verification if row.runtime == "C99"]
    assert (row.against, row.kernels, row.equal_integers) == ("simulation", "compiled", 1.0)
    header, source = (tmp_path / "c-binary" / f"my_net.{end}" for end in "hc")
    assert "void my_net_run(const int8_t input[MY_NET_INPUT_SIZE]" in header.read_text()
    assert source.read_text().count("signs_of_bits(&") == 1 and build.artifact.suffix == ".tflite"
    (note,) = [note for note in build.report.source.notes if note.startswith("my_net.c has ")]
    constants = int(note.split()[2].replace(",", ""))
    subprocess.run([str(compiler()), "-std=c99", "-Os", "-c", source, "-o", tmp_path / "my_net.o"], check=True)
    assert constants < (tmp_path / "my_net.o").stat().st_size and constants < build.report.artifact.bytes / 2
    assert ek.run(build.artifact, x_test).shape == (len(x_test), 10)


def test_a_machine_without_a_compiler_says_that_nothing_was_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_files, "compiler", lambda: None)
    x, _, _, _ = digits()
    build = ek.build(binary(Layers, "bnn"), target="c-binary", calibration=x[:256], output=tmp_path, name="net")
    assert any("neither compiled nor compared" in line for line in build.report.warnings)
    assert (tmp_path / "c-binary" / "net.c").is_file()


class Branched(nn.Module):
    """Two branches, groups, a standalone activation of every kind, sums and differences with constants on either side."""

    def __init__(self, activation: nn.Module, groups: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.grouped = nn.Conv2d(32, 32, 3, padding=1, groups=groups)
        self.binary = nn.Conv2d(32, 32, 3, padding=1)
        self.norm = nn.BatchNorm2d(32)
        self.activation, self.slopes = activation, nn.PReLU(32)
        self.offset = nn.Parameter(torch.randn(32, 1, 1))
        self.factor = nn.Parameter(torch.randn(32, 1, 1))
        self.last = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        y = self.activation(self.grouped(self.slopes(x)))
        z = self.norm(self.binary(x))
        y = 1.5 - (y - self.offset) * self.factor
        return self.last(torch.relu(torch.relu(z) + y - x).mean((2, 3)))


@needs_compiler
@pytest.mark.parametrize(
    ("activation", "groups"),
    [
        (nn.ReLU6(), 32),
        pytest.param(nn.LeakyReLU(0.1), 4, marks=pytest.mark.slow),
        pytest.param(nn.Hardswish(), 2, marks=pytest.mark.slow),
        pytest.param(nn.PReLU(), 1, marks=pytest.mark.slow),
    ],
)
def test_branches_groups_and_activations_are_the_simulation_bit_by_bit(activation: nn.Module, groups: int) -> None:
    torch.manual_seed(groups)
    module, x = Branched(activation, groups).eval(), torch.randn(24, 3, 9, 7)
    data = ek.Data(train=(x.numpy(), np.zeros(len(x), np.int64)))
    made = ek.Binarize(method="bnn", epochs=0, layers=("binary",)).apply(ek.load(module, (x[:1],)), data)
    graph = lowered(made, x)
    got, wanted = both(graph, x, *SANITIZED)
    assert np.array_equal(got, wanted) and len(np.unique(wanted)) > 20


@needs_compiler
def test_binary_groups_of_whole_words_are_exact_and_others_are_refused() -> None:
    x = torch.randn(16, 3, 6, 6)
    for width, fits in ((64, True), (40, False)):
        torch.manual_seed(0)
        inner = [nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, groups=2)]
        module = nn.Sequential(*inner, nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(4 * width, 4)).eval()
        data = ek.Data(train=(x.numpy(), np.zeros(len(x), np.int64)))
        made = ek.Binarize(method="bnn", epochs=0, layers=("3",)).apply(ek.load(module, (x[:1],)), data)
        if fits:
            got, wanted = both(lowered(made, x), x, *SANITIZED)
            assert np.array_equal(got, wanted)
            continue
        with pytest.raises(Unsupported, match="whole words"):
            export_c(lowered(made, x), "net")


class Squeezed(nn.Module):
    """A product of two values that the network computes."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.last = nn.Conv2d(1, 8, 3), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.convolution(x)
        return self.last((x * torch.sigmoid(x)).mean((2, 3)))


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 3), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.first(x), self.second(x)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)), "c-binary computes no '[a-z]+_norm' in float"),
        (TwoHeads(), "c-binary takes networks with one output, not 2"),
    ],
)
def test_what_stays_float_is_named_and_so_is_what_there_are_several_of(model: nn.Module, words: str, tmp_path: Path) -> None:
    x = torch.randn(32, 6)
    with pytest.raises(Unsupported, match=words) as caught:
        ek.build(model.eval(), "c-binary", example_inputs=x[:1], calibration=x.numpy(), output=tmp_path)
    assert "identity" not in str(caught.value) and 'io = "int8"' not in str(caught.value)


def test_what_has_no_c_code_is_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    x, _, _, _ = digits()
    graph = ek.load(Squeezed(), (torch.zeros(1, 1, 8, 8),))
    with pytest.raises(Unsupported, match="no product of two pictures") as caught:
        ek.build(graph, target="c-binary", calibration=x[:256], output=tmp_path, name="net")
    assert "test_c_binary.py" in str(caught.value.where)
    assert not (tmp_path / "c-binary").exists()


def test_values_that_live_at_the_same_time_never_overlap() -> None:
    pick = random.Random(0)
    for _ in range(200):
        starts = [pick.randrange(12) for _ in range(pick.randrange(1, 10))]
        buffers = [Lifetime(pick.randrange(1, 50), first, first + pick.randrange(4)) for first in starts]
        offsets, words = place(buffers)
        for i, a in enumerate(buffers):
            assert offsets[i] >= 0 and offsets[i] + a.words <= words
            for j, b in enumerate(buffers[:i]):
                if a.first <= b.last and b.first <= a.last:
                    assert offsets[i] + a.words <= offsets[j] or offsets[j] + b.words <= offsets[i]
