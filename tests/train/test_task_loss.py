"""The user's own loss equals torch's, and nothing is broadcast or guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.train import Training
from edgekit.train.objective import Pass
from edgekit.train.optimizer import learning_rate
from edgekit.train.task_loss import TaskLoss
from tests.train.networks import graph_of


class Ends(nn.Module):
    """A linear layer with an end."""

    def __init__(self, end: nn.Module, outputs: int = 3) -> None:
        super().__init__()
        self.layer, self.end = nn.Linear(5, outputs), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.layer(x))


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


X = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(8) % 3


def loss_of(
    end: nn.Module, targets: Tensor, outputs: int = 3, root: Path | None = None, **options: object
) -> tuple[float, Ends]:
    module = Ends(end, outputs).requires_grad_(False)
    graph = graph_of(module, (1, 5))
    loss = TaskLoss(graph, root=root, **options)  # type: ignore[arg-type]
    features: dict[str, Tensor] = {}
    results = graph.module().run([X], lambda value, tensor: features.update({value.name: tensor}))
    return float(loss(Pass([X], targets, results, features))["task"]), module


def test_integer_targets_give_cross_entropy_with_smoothing() -> None:
    got, module = loss_of(nn.Identity(), CLASSES, label_smoothing=0.1)
    assert got == pytest.approx(float(F.cross_entropy(module(X), CLASSES, label_smoothing=0.1)))


def test_cross_entropy_of_a_softmax_is_that_of_its_logits() -> None:
    got, module = loss_of(nn.Softmax(1), CLASSES)
    assert got == pytest.approx(float(F.cross_entropy(module.layer(X), CLASSES)))
    got, module = loss_of(nn.LogSoftmax(1), CLASSES)
    assert got == pytest.approx(float(F.nll_loss(module(X), CLASSES)))


@pytest.mark.parametrize(
    "end",
    [
        nn.Sequential(nn.Softmax(1), nn.Unflatten(1, (3, 1, 1)), nn.Flatten()),
        nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Softmax(1), nn.Flatten()),
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Softmax(2), Transposed(), nn.Flatten()),
        nn.Sequential(nn.Softmax(1), nn.Dropout()),
    ],
)
def test_what_rearranges_a_softmax_hides_no_logits(end: nn.Module) -> None:
    got, module = loss_of(end.eval(), CLASSES)
    assert got == pytest.approx(float(F.cross_entropy(module.layer(X), CLASSES)))


def test_a_sigmoid_is_trained_by_its_logits_behind_a_reshape() -> None:
    targets = (X[:, :1] > 0).float()
    got, module = loss_of(nn.Sequential(nn.Sigmoid(), nn.Flatten(0)), targets[:, 0], 1, loss="bce")
    assert got == pytest.approx(float(F.binary_cross_entropy(module(X), targets[:, 0])), rel=1e-5)


def test_a_sigmoid_is_trained_by_its_logits() -> None:
    targets = (X[:, :1] > 0).float()
    got, module = loss_of(nn.Sigmoid(), targets, 1, loss="bce")
    assert got == pytest.approx(float(F.binary_cross_entropy(module(X), targets)), rel=1e-5)
    got, module = loss_of(nn.Sigmoid(), targets[:, 0] > 0, 1)  # booleans, one a sample
    assert got == pytest.approx(float(F.binary_cross_entropy(module(X), targets)), rel=1e-5)


def test_float_targets_give_the_mean_squared_error_and_nothing_is_broadcast() -> None:
    got, module = loss_of(nn.Identity(), X[:, :3])
    assert got == pytest.approx(float(F.mse_loss(module(X), X[:, :3])))
    got, module = loss_of(nn.Identity(), X[:, 0], 1, loss="l1")  # (8,) for (8, 1)
    assert got == pytest.approx(float(F.l1_loss(module(X), X[:, :1])))
    with pytest.raises(InputError, match=r"outputs of shape \(8, 3\) and targets of shape \(8,\)"):
        loss_of(nn.Identity(), X[:, 0])
    with pytest.raises(InputError, match=r"targets of shape \(8, 1\)"):
        loss_of(nn.Identity(), X[:, :1])


def test_labels_beyond_the_classes_are_named() -> None:
    with pytest.raises(InputError, match="labels from 0 to 3 for 3 classes"):
        loss_of(nn.Identity(), torch.arange(8) % 4)


def test_one_output_for_two_classes_wants_another_loss() -> None:
    with pytest.raises(InputError) as caught:
        loss_of(nn.Identity(), CLASSES % 2, 1)
    assert 'loss = "bce"' in str(caught.value.hint)


class Steps(nn.Module):
    """Scores (batch, time, classes)."""

    def __init__(self, time: int) -> None:
        super().__init__()
        self.time, self.layer = time, nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).unsqueeze(1).repeat(1, self.time, 1)


def test_a_class_for_each_time_step_is_found_on_the_last_axis_and_refused_where_that_is_unclear() -> None:
    targets = CLASSES[:, None].repeat(1, 4)
    for time in (4, 3):
        graph = graph_of(Steps(time), (1, 5))
        outputs = graph.module().run([X])
        if time == 4:
            got = TaskLoss(graph)(Pass([X], targets, outputs))["task"]
            torch.testing.assert_close(got, F.cross_entropy(outputs[0].permute(0, 2, 1), targets))
        else:
            with pytest.raises(InputError, match="outputs of shape"):
                TaskLoss(graph)(Pass([X], targets[:, :3], outputs))


class Exits(nn.Module):
    """Two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.a(x), self.b(x)


def test_several_outputs_share_a_target_or_have_one_each() -> None:
    graph = graph_of(Exits(), (1, 5))
    outputs = graph.module().run([X])
    a, b = (F.cross_entropy(output, CLASSES) for output in outputs)
    torch.testing.assert_close(TaskLoss(graph)(Pass([X], CLASSES, outputs))["task"], (a + b) / 2)
    mixed = TaskLoss(graph)(Pass([X], CLASSES, outputs, further_targets=(X[:, :3],)))["task"]
    torch.testing.assert_close(mixed, (a + F.mse_loss(outputs[1], X[:, :3])) / 2)
    with pytest.raises(InputError, match="2 outputs and 3 targets"):
        TaskLoss(graph)(Pass([X], CLASSES, outputs, further_targets=(CLASSES, CLASSES)))


def test_a_callable_of_the_users_is_the_loss(tmp_path: Path) -> None:
    code = "def mine(outputs, targets):\n    return outputs.square().sum()\ndef wrong(outputs, targets):\n    return outputs\n"
    (tmp_path / "loss_of_a_test.py").write_text(code)
    got, module = loss_of(nn.Identity(), CLASSES, root=tmp_path, loss="loss_of_a_test:mine")
    assert got == pytest.approx(float(module(X).square().sum()), rel=1e-5)
    with pytest.raises(InputError, match="not a scalar tensor"):
        loss_of(nn.Identity(), CLASSES, root=tmp_path, loss="loss_of_a_test:wrong")


def test_the_rate_follows_torchs_schedules() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    cases = {
        "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=20),
        "linear": lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=20),
        "step": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [10, 15]),
        "constant": lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0),
    }
    for name, make in cases.items():
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        schedule = make(optimizer)
        settings = Training(epochs=4, lr=0.1, schedule=name)
        for step in range(20):
            assert learning_rate(settings, step, 5) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9), name
            optimizer.step()
            schedule.step()


def test_the_warm_up_rises_in_a_line_and_the_schedule_follows() -> None:
    settings = Training(epochs=4, lr=0.1, warmup=0.8)
    assert [learning_rate(settings, step, 5) for step in range(4)] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert learning_rate(settings, 4, 5) == pytest.approx(0.1)
    assert learning_rate(settings, 19, 5) < 0.005
