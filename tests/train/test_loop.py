"""The loop trains what a plain torch loop trains, chooses the best epoch, and refuses what can't go well."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit.errors import InputError, Unsupported, UsageError
from edgekit.frontend.source import load
from edgekit.train import Training
from edgekit.train.loop import train
from edgekit.train.objective import Pass
from edgekit.train.task_loss import TaskLoss
from tests.train.networks import blobs, digits, graph_of, same, tensors

PLAIN = Training(epochs=2, batch_size=32, optimizer="sgd", lr=0.05, validation=0.0)


def test_it_learns_and_leaves_the_graph_that_was_given_alone() -> None:
    graph = digits()
    before = {name: tensor.clone() for name, tensor in tensors(graph).items()}
    trained = train(graph, blobs(), Training(epochs=6, batch_size=16, lr=0.01))
    assert trained.epochs[-1].loss < 0.5 * trained.epochs[0].loss
    assert trained.epochs[trained.best].validation["top1"] > 0.9
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors(graph).items())
    assert not same(graph, trained.graph)


def test_the_steps_are_those_of_a_plain_torch_loop() -> None:
    """Order, optimizer, schedule and batch-norm statistics against a loop written out here (no dropout, no augmentation)."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 4))
    graph = graph_of(module, (1, 1, 8, 8))
    x, y = blobs(80)
    settings = Training(epochs=3, batch_size=32, optimizer="sgd", lr=0.1, weight_decay=0.01, validation=0.0)
    trained = train(graph, (x, y), settings)

    decayed = [p for p in module.parameters() if p.dim() > 1]
    others = [p for p in module.parameters() if p.dim() <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], lr=0.1, momentum=0.9
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    from edgekit.train.stacked import Stacked

    order = Stacked([torch.from_numpy(x)], [torch.from_numpy(y)], torch.arange(80), torch.arange(0), 32, 0)
    module.train()
    for epoch in range(3):
        for batch in order.batches(epoch):
            optimizer.zero_grad()
            F.cross_entropy(module(batch.inputs[0]), batch.targets[0]).backward()
            optimizer.step()
            schedule.step()
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensors(trained.graph)[name], tensor, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    graph, data = digits(), blobs()
    first, again = (train(graph, data, PLAIN) for _ in range(2))
    assert same(first.graph, again.graph)
    other = train(graph, data, Training(**{**PLAIN.options(), "seed": 1}))
    assert not same(first.graph, other.graph)


def test_random_numbers_outside_go_on_as_if_nothing_had_been_trained() -> None:
    graph = digits()
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(3)
    np.random.seed(3)
    train(graph, blobs(), PLAIN)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])


def test_without_a_validation_part_the_last_epoch_is_kept_and_with_one_the_best() -> None:
    assert train(digits(), blobs(), PLAIN).best == 1
    wild = Training(epochs=5, batch_size=16, optimizer="sgd", lr=0.5, schedule="constant", validation=0.3, seed=2)
    trained = train(digits(), blobs(64), wild)
    ranks = [epoch.rank for epoch in trained.epochs]
    assert trained.best == ranks.index(max(ranks))


def test_the_best_epochs_weights_give_its_validation_loss() -> None:
    settings = Training(epochs=4, batch_size=16, optimizer="sgd", lr=0.5, schedule="constant", validation=0.3, seed=2)
    x, y = blobs(64)
    trained = train(digits(), (x, y), settings)
    from edgekit.train.stacked import hold_out

    _, held = hold_out(64, 0.3, 2, torch.from_numpy(y))
    module = trained.graph.module().eval()
    with torch.no_grad():
        loss = F.cross_entropy(module(torch.from_numpy(x)[held]), torch.from_numpy(y)[held])
    assert float(loss) == pytest.approx(trained.epochs[trained.best].validation["loss"], rel=1e-5)


def test_patience_ends_a_training_that_gets_no_better() -> None:
    settings = Training(epochs=50, batch_size=32, optimizer="sgd", lr=1e-9, schedule="constant", patience=2)
    assert len(train(digits(), blobs(), settings).epochs) < 10


def test_no_epochs_train_nothing() -> None:
    graph = digits()
    assert same(train(graph, blobs(), Training(epochs=0)).graph, graph)


def test_weights_that_the_last_step_ruins_are_an_error() -> None:
    x, _ = blobs()
    with pytest.raises(UsageError, match=r"became (NaN|infinite) in epoch 1, step 1 of 1") as caught:
        far = np.full((len(x), 4), 1e6, np.float32)
        train(digits(), (x, far), Training(epochs=1, batch_size=512, optimizer="sgd", lr=1e38, validation=0.0))
    assert "weights after the epoch's last step" in str(caught.value.where) and "smaller lr" in str(caught.value.hint)


def test_a_loss_that_becomes_nan_is_an_error_that_says_when_and_what_to_try() -> None:
    x, y = blobs()
    with pytest.raises(UsageError, match=r"the loss became (NaN|infinite) in epoch \d, step \d+ of 3") as caught:
        train(
            digits(),
            (x * 1e18, y.astype(np.float32)[:, None].repeat(4, 1)),
            Training(epochs=9, batch_size=32, optimizer="sgd", lr=1e9, validation=0.0),
        )
    assert "term 'task'" in str(caught.value.where)
    assert "smaller lr" in str(caught.value.hint)


def test_a_graph_of_a_fixed_batch_is_refused_at_another_one_and_trains_at_its_own() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    graph = load(module, (torch.zeros(8, 1, 8, 8),), batch_axes={"input": None})
    assert not graph.inputs[0].type.has_batch
    with pytest.raises(UsageError, match="made for a batch of 8, and the training wants 32"):
        train(graph, blobs(), PLAIN)
    trained = train(graph, blobs(70), Training(epochs=2, batch_size=8, validation=0.2))
    assert trained.epochs[-1].loss < trained.epochs[0].loss


def test_dropout_and_batch_statistics_act_while_training_and_not_after() -> None:
    trained = train(digits(), blobs(), PLAIN).graph
    module = trained.module()
    x = torch.from_numpy(blobs(8)[0])
    module.train()
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


def test_two_inputs_and_a_batch_axis_that_is_not_the_first() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 5)
            self.head = nn.Linear(7, 2)

        def forward(self, signal: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
            return self.head(torch.cat([self.rnn(signal)[0][-1], extra], 1))

    graph = load(Two(), (torch.zeros(6, 1, 3), torch.zeros(1, 2)), batch_axes={"signal": 1, "extra": 0})
    random = np.random.default_rng(0)
    extra = random.standard_normal((64, 2)).astype(np.float32)
    data = ((random.standard_normal((64, 6, 3)).astype(np.float32), extra), (extra[:, 0] > 0).astype(np.int64))
    trained = train(graph, data, Training(epochs=8, batch_size=16, lr=0.02, validation=0.0))
    assert trained.epochs[-1].training["top1"] > 0.9


def test_an_input_that_is_not_made_of_samples_is_refused() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
            return x * factor

    graph = load(Scaled(), (torch.zeros(1, 4), torch.zeros(4)), batch_axes={"x": 0, "factor": None})
    with pytest.raises(Unsupported, match="input 'factor'"):
        train(graph, (np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32), np.zeros(4)), PLAIN)


def test_a_graph_without_parameters_has_nothing_to_train() -> None:
    with pytest.raises(UsageError, match="nothing to train"):
        train(graph_of(nn.Flatten(), (1, 1, 2, 2)), (np.zeros((8, 1, 2, 2), np.float32), np.zeros((8, 4), np.float32)), PLAIN)


def test_sparsity_makes_the_scales_of_batch_norms_small_and_adds_its_sign_to_the_gradient() -> None:
    graph, data = digits(), blobs()
    plain = train(graph, data, Training(**{**PLAIN.options(), "epochs": 1, "momentum": 0.0, "schedule": "constant"}))
    sparse = train(
        graph, data, Training(**{**PLAIN.options(), "epochs": 1, "momentum": 0.0, "schedule": "constant", "sparsity": 0.1})
    )
    gone = tensors(plain.graph)["norm.weight"] - tensors(sparse.graph)["norm.weight"]
    assert gone.mean() == pytest.approx(3 * 0.05 * 0.1, rel=0.1)  # three steps, each lr * sparsity lower


@dataclass
class Watching:
    """The task's loss and a penalty on a value inside, with a module that is trained along."""

    inner: TaskLoss
    watches: tuple[str, ...] = ("relu",)
    modules: nn.ModuleList = field(default_factory=lambda: nn.ModuleList([nn.Linear(6, 1)]))
    seen: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, step: Pass) -> dict[str, torch.Tensor]:
        feature = step.features["relu"]
        self.seen.append(tuple(feature.shape))
        return {**self.inner(step), "hint": self.modules[0](feature.mean((2, 3))).square().mean()}


def test_an_objective_sees_the_values_it_watches_and_trains_its_modules_along() -> None:
    graph = digits()
    objective = Watching(TaskLoss(graph))
    start = objective.modules[0].weight.detach().clone()
    trained = train(graph, blobs(), PLAIN, objective)
    assert objective.seen[0] == (32, 6, 8, 8)
    assert set(trained.epochs[0].terms) == {"task", "hint"}
    assert not torch.equal(start, objective.modules[0].weight)
    assert not any("hint" in name or "modules" in name for name in trained.graph.state)


def test_an_objective_that_watches_an_unknown_value_is_refused_by_its_name() -> None:
    graph = digits()
    with pytest.raises(UsageError, match="looks at 'nowhere'"):
        train(graph, blobs(), PLAIN, Watching(TaskLoss(graph), watches=("nowhere",)))


def test_clipping_bounds_the_norm_of_the_step() -> None:
    settings = {**PLAIN.options(), "epochs": 1, "momentum": 0.0, "schedule": "constant", "lr": 1.0, "weight_decay": 0.0}
    graph = digits()
    trained = train(graph, blobs(32), Training(**settings, clip_norm=0.01))
    moved = [tensors(trained.graph)[name] - old for name, old in tensors(graph).items() if graph.state[name].is_trainable]
    assert math.sqrt(sum(float(m.square().sum()) for m in moved)) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer_learns(optimizer: str) -> None:
    trained = train(digits(), blobs(), Training(epochs=4, batch_size=16, optimizer=optimizer, warmup=0.5))
    assert trained.epochs[-1].loss < trained.epochs[0].loss


def test_bfloat16_trains_float_weights() -> None:
    trained = train(digits(), blobs(), Training(epochs=3, batch_size=16, lr=0.01, precision="bfloat16"))
    assert trained.epochs[-1].loss < trained.epochs[0].loss
    assert tensors(trained.graph)["conv.weight"].dtype == torch.float32


def test_lines_are_said_where_there_is_no_terminal() -> None:
    lines: list[str] = []
    say: Callable[[str], None] = lines.append
    train(digits(), blobs(), PLAIN, say=say)
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]


def test_data_without_labels_needs_an_objective_that_needs_none() -> None:
    graph, (x, _) = digits(), blobs()
    with pytest.raises(InputError, match="no labels to train with"):
        train(graph, x, PLAIN)

    class Small:
        watches = ()
        modules = nn.ModuleList()

        def __call__(self, step: Pass) -> dict[str, torch.Tensor]:
            assert step.targets is None
            return {"size": step.outputs[0].square().mean()}

    trained = train(graph, x, Training(epochs=5, batch_size=32, lr=0.01, validation=0.2), Small())
    assert trained.epochs[-1].loss < trained.epochs[0].loss
    assert set(trained.epochs[0].validation) == {"loss"}
