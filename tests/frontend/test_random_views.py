"""Random programs of views and in-place changes: the graph shows every change wherever the source shows it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgekit import Unsupported
from edgekit.frontend.source import load

#: Views of a tensor of shape (B, 4, 6), each of the same shape again or of a part, written as source code.
VIEWS = [
    "{t}[:, 1:3]",
    "{t}[:, :, -3:]",
    "{t}.transpose(1, 2)",
    "{t}.flatten(1)",
    "{t}.unsqueeze(1)",
    "{t}[:, 0]",
    "{t}.chunk(2, 1)[1]",
    "{t}.split([1, {rest}], 1)[1]",
    "{t}.unbind(1)[0]",
    "{t}.contiguous()",
    "{t}.narrow(1, 0, 1)",
    "{t}.movedim(1, -1)",
    "{t}.detach()",
]
CHANGES = [
    "{t}.add_(1)",
    "{t}.mul_(2)",
    "{t}.relu_()",
    "{t}.neg_()",
    "{t}[:, :1].fill_(3)",
    "{t}.sub_({t} * 0.5)",
    "{t}.copy_({t} + 2)",
]


def program(seed: int) -> tuple[str, Callable[[torch.Tensor], list[torch.Tensor]]]:
    """Code that makes views of views, changes some of them, and returns all of them and products of some along the way."""
    choice = random.Random(seed)
    lines, names = ["t0 = x * 1"], ["t0"]
    shapes: dict[str, torch.Tensor] = {"t0": torch.zeros(2, 4, 6)}
    kept = []
    for step in range(8):
        name = choice.choice(names)
        if choice.random() < 0.5:
            text = choice.choice(VIEWS).format(t=name, rest=shapes[name].shape[1] - 1)
            try:
                made = eval(text, {"torch": torch, name: shapes[name]})
            except (RuntimeError, IndexError, ValueError):
                continue
            if made.numel() == 0 or made.dim() < 2 or made.shape[0] != 2:
                continue
            new = f"t{len(names)}"
            names.append(new)
            shapes[new] = made
            lines.append(f"{new} = {text}")
        elif choice.random() < 0.8:
            lines.append(choice.choice(CHANGES).format(t=name))
        else:
            kept.append(f"k{step}")
            lines.append(f"k{step} = {name} * 3")
    lines.append(f"return [{', '.join([*names, *kept])}]")
    code = "def forward(self, x):\n    " + "\n    ".join(lines)
    scope: dict[str, Callable[..., list[torch.Tensor]]] = {"torch": torch}  # type: ignore[dict-item]
    exec(code, scope)
    return code, scope["forward"]


@pytest.mark.parametrize("seed", range(25))
def test_a_random_program_shows_every_change(seed: int) -> None:
    code, forward = program(seed)
    module = type("Random", (nn.Module,), {"forward": forward})()
    try:
        graph = load(module, (torch.randn(2, 4, 6),))
    except Unsupported as error:
        pytest.fail(f"{error}\n{code}")
    graph.verify()
    for batch in (2, 5):
        x = torch.randn(batch, 4, 6)
        for mine, theirs in zip(graph.module()(x), module(x), strict=True):
            torch.testing.assert_close(mine, theirs, msg=lambda text: f"{text}\n{code}")
