"""One layer behind the other."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from tests.compress.prune.structures.common import STRUCTURES, Structure, cbr, conv, head, net, structure

structure("conv, batch norm, relu")(lambda: nn.Sequential(cbr(3, 8), cbr(8, 8), head(8)))
structure("convolutions with biases")(lambda: nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 6), nn.SiLU(), conv(6, 4)))
structure("flatten to a linear layer")(lambda: nn.Sequential(cbr(3, 8), nn.Flatten(), nn.Linear(512, 5)))
structure("multilayer perceptron", shape=(12,))(
    lambda: nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 10), nn.Tanh(), nn.Linear(10, 3))
)
net("view to a linear layer", lambda m, x: m.fc(m.a(x).view(x.shape[0], -1)), lambda: {"a": cbr(3, 8), "fc": nn.Linear(512, 5)})
net(
    "view with a literal size",
    lambda m, x: m.fc(F.max_pool2d(m.a(x), 2).view(-1, 128)),
    lambda: {"a": cbr(3, 8), "fc": nn.Linear(128, 5)},
)
structure("max, average pools and upsampling")(
    lambda: nn.Sequential(cbr(3, 8), nn.MaxPool2d(2), cbr(8, 8), nn.AvgPool2d(2), nn.Upsample(scale_factor=2), conv(8, 4))
)
structure("one channel in the middle", alone="0.weight")(
    lambda: nn.Sequential(conv(3, 1), nn.ReLU(), conv(1, 6), nn.ReLU(), conv(6, 2))
)
structure("prelu with a slope per channel")(lambda: nn.Sequential(conv(3, 8), nn.PReLU(8), conv(8, 4), nn.PReLU(), conv(4, 2)))
structure("gates of every activation")(
    lambda: nn.Sequential(conv(3, 8), nn.Sigmoid(), conv(8, 8), nn.Hardswish(), conv(8, 8), nn.ELU(), conv(8, 2))
)
structure("linear to an image")(
    lambda: nn.Sequential(nn.Linear(6, 8 * 16), nn.ReLU(), nn.Unflatten(1, (8, 4, 4)), cbr(8, 6), conv(6, 2))
)
STRUCTURES["linear to an image"] = Structure(STRUCTURES["linear to an image"].build, shape=(6,))
