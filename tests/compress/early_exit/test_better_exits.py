"""What makes exits better on a network that stays as it is: copies of its layers, answers added up, altered samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit import InputError, Unsupported, UsageError
from edgekit.compress.early_exit import frozen
from edgekit.compress.early_exit.ensemble import blended, fit_weights
from edgekit.compress.early_exit.policy import Goal, Seen, choose
from edgekit.compress.steps import parse_steps
from edgekit.ir import Graph
from tests.compress.early_exit.test_early_exit import Stages, noisy
from tests.train.networks import graph_of

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> Graph:
    torch.manual_seed(0)
    return graph_of(Stages(), (2, 1, 8, 8))


def test_a_head_may_begin_with_a_copy_of_later_layers_which_is_trained_alone(network: Graph) -> None:
    before = {name: value.tensor.detach().clone() for name, value in network.state.items()}
    step = ek.EarlyExit(at=("first", "second"), head=(ek.Head(copy=("second",)), ek.Head(pool=2)), epochs=1, max_drop=50.0)
    exits = step.apply(network, noisy(300))
    assert all(torch.equal(exits.state[name].tensor, tensor) for name, tensor in before.items())
    own = exits.state["exits.0.copy.second.0.weight"].tensor
    assert own.shape == before["second.0.weight"].shape and not torch.equal(own, before["second.0.weight"])
    assert torch.nn.functional.cosine_similarity(own.flatten(), before["second.0.weight"].flatten(), 0) > 0.5
    assert exits.state["exits.0.weight"].tensor_shape == (4, 16) and exits.state["exits.1.weight"].tensor_shape == (4, 64)


@pytest.mark.parametrize(
    ("copy", "says"), [(("fourth",), "no module is called 'fourth'"), (("third",), "'third' takes .*16,.* there is .*8,")]
)
def test_a_copy_that_does_not_fit_is_refused(network: Graph, copy: tuple[str, ...], says: str) -> None:
    with pytest.raises(ek.EdgekitError, match=says):
        ek.EarlyExit(at=("first",), head=ek.Head(copy=copy), epochs=1, max_drop=1.0).apply(network, noisy(100))


def test_each_exit_adds_the_answer_before_it_with_the_weight_that_fits_best() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (4000,), generator=generator)
    truth = 2.0 * torch.nn.functional.one_hot(labels, 4)
    first, second = (truth + 2.0 * torch.randn(4000, 4, generator=generator) for _ in range(2))
    (weight,) = fit_weights([first, second], labels.numpy())
    assert weight == pytest.approx(1.0, abs=0.25)  # two guesses of one quality: their sum is the best one
    together = blended([first, second], (weight,))[1]
    assert (together.argmax(1) == labels).float().mean() > (second.argmax(1) == labels).float().mean() + 0.05
    (nothing,) = fit_weights([torch.randn(4000, 4, generator=generator), second], labels.numpy())
    assert nothing < 0.1


def test_what_the_graph_answers_with_an_ensemble_is_what_the_record_says(network: Graph) -> None:
    data = ek.Data(train=noisy(400), evaluate=noisy(200, seed=7))
    exits = ek.EarlyExit(at=("first", "second"), epochs=2, max_drop=50.0, caution=0.0, ensemble=True).apply(network, data)
    record = exits.history[-1].details
    shares = [row.get("share_of_the_exit_before", 0.0) for row in record["held_out"]["exits"]]
    assert shares[0] == 0.0 and max(shares) > 0.0  # the network itself knows nothing: its exits do
    x, y = data.evaluate  # type: ignore[misc]
    with torch.no_grad():
        answers = exits.module().eval()(torch.from_numpy(x)).numpy()
        alone = network.module().eval()(torch.from_numpy(x)).numpy()
    assert (answers.argmax(1) == y).mean() == pytest.approx(record["evaluation"]["top1"])
    assert (alone.argmax(1) == y).mean() == pytest.approx(record["evaluation"]["top1_of_last"])


def test_a_drop_is_held_against_the_network_without_exits_and_repeated_samples_count_once() -> None:
    random = np.random.default_rng(0)
    scores = random.random((1, 3000))
    right = np.stack([random.random(3000) < 0.8, random.random(3000) < 0.9])
    costs = np.array([0.5, 1.0])
    plain = choose(Seen(scores, right, costs), Goal(0.02, None))
    worse = choose(Seen(scores, right, costs, whole=random.random(3000) < 0.86), Goal(0.02, None))
    assert worse[0] < plain[0]  # more may be lost beside a network that is worse by itself
    careful = choose(Seen(scores, right, costs, repeats=9), Goal(0.02, None, caution=1.0))
    assert careful[0] > choose(Seen(scores, right, costs), Goal(0.02, None, caution=1.0))[0]


def test_heads_of_augmented_samples_see_nothing_of_what_thresholds_are_chosen_on(
    network: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = frozen.train

    def watched(graph: Graph, data: object, *args: object, **options: object) -> object:
        seen.append(len(data[1]))  # type: ignore[index]
        return real(graph, data, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(frozen, "train", watched)
    training = ek.Training(batch_size=64, augment="flip_crop", validation=0.25)
    step = ek.EarlyExit(at=("first",), epochs=1, max_drop=50.0, training=training, held_out_augment="flip_crop")
    held = step.apply(network, noisy(400)).history[-1].details["held_out"]
    assert seen[0] == pytest.approx(300, abs=4)  # a quarter of every class is held out
    assert held["samples"] == 3 * (400 - seen[0])  # and looked at three times


def test_exits_of_a_network_whose_samples_depend_on_each_other_are_refused() -> None:
    class Centred(Stages):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.first(x)
            return self.head(self.third(self.second(y - y.mean(0, keepdim=True))).mean((2, 3)))  # type: ignore[no-any-return]

    with pytest.raises(Unsupported, match="samples depend on each other") as caught:
        ek.EarlyExit(at=("second",), epochs=1, max_drop=1.0).apply(graph_of(Centred(), (2, 1, 8, 8)), noisy(100))
    assert "axis 0" in str(caught.value) and "test_better_exits.py" in str(caught.value)


def test_training_data_without_labels_is_refused(network: Graph) -> None:
    with pytest.raises(InputError, match="no labels to train exits with"):
        ek.EarlyExit(at=("first",), epochs=1, max_drop=1.0).apply(network, noisy(100)[0])


def test_an_operator_that_tflite_micro_lacks_is_refused_in_the_branch_of_a_later_exit_too(tmp_path: object) -> None:
    class Rising(Stages):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.second(self.first(x))
            return self.head(self.third(nn.functional.gelu(y)).mean((2, 3)))  # type: ignore[no-any-return]

    x, y = noisy(200)
    graph = ek.EarlyExit(at=("first",), epochs=1, max_drop=90.0).apply(graph_of(Rising(), (2, 1, 8, 8)), (x, y))
    with pytest.raises(Unsupported, match="TFLite Micro"):
        ek.build(graph, "tflm-int8", calibration=x, output=str(tmp_path))


def test_heads_and_alterations_are_checked_when_they_are_written_down() -> None:
    with pytest.raises(UsageError, match="2 heads for 1 places"):
        ek.EarlyExit(at=("first",), head=(ek.Head(), ek.Head()), max_drop=1.0)
    with pytest.raises(UsageError, match="held_out_augment"):
        ek.EarlyExit(at=("first",), held_out_augment="flip", max_drop=1.0)
    with pytest.raises(UsageError, match="copies of the network's layers or convolutions"):
        ek.Head(copy=("second",), channels=8)
    table = {"step": "early_exit", "at": ["a", "b"], "max_drop": 1, "head": [{"copy": ["c"]}, {"pool": 2}], "ensemble": True}
    (step,) = parse_steps([table], None)
    assert isinstance(step, ek.EarlyExit) and step.head == (ek.Head(copy=("c",)), ek.Head(pool=2))
    assert step.options()["head"] == [{"copy": ["c"]}, {"pool": 2}]
