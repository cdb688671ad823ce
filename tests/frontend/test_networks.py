"""Whole networks keep their function at several batch sizes; real trained ones where the data is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit.frontend.source import load
from tests.conftest import data_folder
from tests.frontend.compare import assert_equal, assert_same, op_names

torch.set_num_threads(1)


class OptionA(nn.Module):
    """The residual block of the CIFAR ResNets: its shortcut slices and pads (He et al. 2015, arXiv:1512.03385)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.pad = outside // 4 if stride != 1 else 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad), "constant", 0) if self.pad else x
        return F.relu(out + shortcut)


class CifarResNet(nn.Module):
    def __init__(self, blocks: int = 3, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inside = width
        for number, outside in enumerate((width, 2 * width, 4 * width), start=1):
            rows = []
            for index in range(blocks):
                rows.append(OptionA(inside, outside, 2 if index == 0 and number > 1 else 1))
                inside = outside
            setattr(self, f"layer{number}", nn.Sequential(*rows))
        self.linear = nn.Linear(4 * width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True)))))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.inner = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1)
        self.up, self.out = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.down(x))
        b = torch.cat([a, self.up(torch.relu(self.inner(a)))], dim=1)
        return F.interpolate(self.out(b), size=x.shape[-2:], mode="bilinear", align_corners=False)


class Signals(nn.Module):
    """A body-signal classifier: convolutions over time, a GRU, an LSTM, attention pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(6, 8, 5, 2, 2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2))
        self.gru = nn.GRU(8, 8, batch_first=True, bidirectional=True)
        self.lstm = nn.LSTM(16, 8, num_layers=2, batch_first=True)
        self.score = nn.Linear(8, 1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x).permute(0, 2, 1)
        y, _ = self.lstm(self.gru(y)[0])
        weights = torch.softmax(self.score(y).squeeze(-1), dim=1)
        pooled = torch.bmm(weights.unsqueeze(1), y).squeeze(1)
        return self.head(torch.cat([pooled, y[:, -1]], dim=-1))


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 17, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(x.shape[0], -1, -1), y], dim=1) + self.position
        return self.head(self.encoder(y)[:, 0])


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8), nn.Embedding(16, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        length = ids.shape[1]
        x = self.words(ids) + self.places(torch.arange(length, device=ids.device))[None]
        mask = torch.triu(torch.full((length, length), float("-inf"), device=ids.device), diagonal=1)
        x = self.norm(x + self.attention(x, x, x, attn_mask=mask, need_weights=False)[0])
        return self.head(x)


IMAGE = torch.randn(1, 3, 16, 16)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "option-A ResNet": (lambda: CifarResNet(1, 8), IMAGE),
    "squeeze and excite": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), SqueezeExcite(8), nn.Hardswish()), IMAGE),
    "U-Net": (UNet, IMAGE),
    "signals": (Signals, torch.randn(1, 6, 64)),
    "ViT": (ViT, IMAGE),
    "text": (Text, torch.randint(0, 20, (1, 9))),
    "autoencoder": (
        lambda: nn.Sequential(nn.Linear(12, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 12)),
        torch.randn(1, 12),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_keeps_its_function_at_every_batch(name: str) -> None:
    make, example = NETWORKS[name]
    torch.manual_seed(6)
    graph = assert_same(make(), example, batches=(2, 7), tolerance=1e-5, gradients=name != "text")
    assert all(value.type.has_batch for value in (*graph.inputs, *graph.outputs)) and graph.notes == []


@pytest.fixture
def resnet20(real_data: Path) -> tuple[nn.Module, nn.Module]:
    checkpoint = real_data / "models" / "resnet20_cifar10.th"
    if not checkpoint.exists():
        pytest.skip("EDGEKIT_DATA has no models/resnet20_cifar10.th")
    graph = load(CifarResNet(), (torch.zeros(1, 3, 32, 32),), weights=checkpoint)
    assert graph.notes[0].startswith("weights: taken from 'state_dict'")
    module = CifarResNet().eval()
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    missing, unexpected = module.load_state_dict({k.removeprefix("module."): v for k, v in state.items()}, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return graph.module().eval(), module


def test_the_trained_resnet20_keeps_its_predictions(resnet20: tuple[nn.Module, nn.Module], real_data: Path) -> None:
    import numpy as np

    with np.load(real_data / "cifar10.npz") as arrays:
        images, labels = arrays["x_test"][:256], arrays["y_test"][:256].reshape(-1)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        mine, theirs = (module(x) for module in resnet20)
    assert torch.equal(mine.argmax(1), theirs.argmax(1))
    assert_equal(mine, theirs, 1e-5)
    assert float((mine.argmax(1) == torch.from_numpy(labels)).float().mean()) > 0.88


def reference_networks() -> Path:
    return data_folder().parent / "reference"


LARGE = pytest.param("mbv2", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", ["resnet8", "dscnn", "mbv1_025", "fcae", "vit", LARGE])
def test_the_reference_networks_keep_their_function(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = reference_networks()
    if not (folder / "zoo.py").exists():
        pytest.skip("EDGEKIT_DATA has no reference networks beside it")
    monkeypatch.syspath_prepend(str(folder))
    zoo = pytest.importorskip("zoo")
    module, shape = zoo.build(name, softmax=False)
    graph = load(module, (torch.zeros(1, *shape),))
    run = graph.module().eval()
    for batch in (1, 3):
        x = zoo.data(name, batch, 3)
        with torch.no_grad():
            assert_equal(run(x), module(x), 1e-5)
    assert graph.notes == [] and graph.inputs[0].type.has_batch
    sys.modules.pop("zoo", None)


def test_a_convolutional_network_has_no_ops_but_its_own() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )
    assert op_names(load(module, (IMAGE,))) == ["conv2d", "batch_norm", "relu", "mean", "reshape", "linear"]
