"""Every loss equals its formula, computed here in loops over numpy arrays in float64, and has the gradient of that."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from edgekit.train.distillation.attention import attention_loss
from edgekit.train.distillation.hint import hint_loss
from edgekit.train.distillation.mimic import mimic_loss
from edgekit.train.distillation.mutual import binary_mutual_loss, mutual_loss
from edgekit.train.distillation.relational import relational_angle_loss, relational_distance_loss, relational_loss
from edgekit.train.distillation.similarity import similarity_loss
from edgekit.train.distillation.soft_targets import binary_soft_target_loss, soft_target_loss

TOLERANCE = 1e-6


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def softmax(row: np.ndarray, temperature: float) -> list[float]:
    powers = [math.exp(float(z) / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def divergence(wanted: list[float], found: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(wanted, found, strict=True))


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def huber(difference: float) -> float:
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


# ---------------------------------------------------------------------------- soft targets


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_soft_targets_are_t_squared_times_the_mean_divergence(temperature: float) -> None:
    student, teacher = draw(7, 5, seed=1, scale=3), draw(7, 5, seed=2, scale=3)
    each = [
        divergence(softmax(t, temperature), softmax(s, temperature))
        for s, t in zip(student.numpy(), teacher.numpy(), strict=True)
    ]
    expected = temperature**2 * sum(each) / 7
    assert float(soft_target_loss(student, teacher, temperature)) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_several_teachers_are_averaged_in_probabilities_or_in_their_logarithms(mean: str) -> None:
    temperature, student = 3.0, draw(4, 6, seed=1)
    teachers = [draw(4, 6, seed=seed, scale=2) for seed in (2, 3, 4)]
    total = 0.0
    for n in range(4):
        each = [softmax(t[n].numpy(), temperature) for t in teachers]
        if mean == "arithmetic":
            wanted = [sum(p[c] for p in each) / 3 for c in range(6)]
        else:
            products = [math.prod(p[c] for p in each) ** (1 / 3) for c in range(6)]
            wanted = [product / sum(products) for product in products]
        total += divergence(wanted, softmax(student[n].numpy(), temperature))
    found = soft_target_loss(student, teachers, temperature, mean=mean)
    assert float(found) == pytest.approx(temperature**2 * total / 4, abs=TOLERANCE)


def test_the_two_means_differ() -> None:
    student, teachers = draw(4, 6, seed=1), [draw(4, 6, seed=2, scale=4), draw(4, 6, seed=3, scale=4)]
    first, second = (soft_target_loss(student, teachers, 2.0, mean=m) for m in ("arithmetic", "geometric"))
    assert abs(float(first) - float(second)) > 0.01


def test_outputs_with_positions_are_averaged_over_positions_too() -> None:
    student, teacher = draw(2, 4, 3, 3, seed=1), draw(2, 4, 3, 3, seed=2)
    each = [
        divergence(softmax(teacher[n, :, y, x].numpy(), 2.0), softmax(student[n, :, y, x].numpy(), 2.0))
        for n, y, x in itertools.product(range(2), range(3), range(3))
    ]
    assert float(soft_target_loss(student, teacher, 2.0)) == pytest.approx(4 * sum(each) / 18, abs=TOLERANCE)
    last = soft_target_loss(student.permute(0, 2, 3, 1), teacher.permute(0, 2, 3, 1), 2.0, axis=-1)
    assert float(last) == pytest.approx(4 * sum(each) / 18, abs=TOLERANCE)


def test_binary_soft_targets_take_every_element_as_a_yes_or_no() -> None:
    student, teachers = draw(5, 3, seed=1, scale=2), [draw(5, 3, seed=2, scale=2), draw(5, 3, seed=3, scale=2)]
    total = 0.0
    for n, c in itertools.product(range(5), range(3)):
        p = sum(sigmoid(float(t[n, c]) / 2.5) for t in teachers) / 2
        q = sigmoid(float(student[n, c]) / 2.5)
        total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert float(binary_soft_target_loss(student, teachers, 2.5)) == pytest.approx(2.5**2 * total / 15, abs=TOLERANCE)
    assert float(binary_soft_target_loss(student[:, 0], teachers[0][:, 0], 2.5)) > 0


def test_the_gradient_keeps_its_size_when_the_temperature_rises() -> None:
    """Its limit is that of matching logits, (s - t) / (N * classes) for centred logits (section 2.1 of the paper)."""
    student, teacher = draw(3, 10, seed=1).requires_grad_(), draw(3, 10, seed=2)
    (gradient,) = torch.autograd.grad(soft_target_loss(student, teacher, 1e5), student)
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    torch.testing.assert_close(gradient, centred.detach() / (3 * 10), atol=1e-4, rtol=0)


def test_soft_targets_of_an_equal_network_are_nothing_and_never_negative() -> None:
    logits = draw(6, 4, seed=1, scale=5)
    assert float(soft_target_loss(logits, logits, 4.0)) == pytest.approx(0, abs=1e-12)
    assert float(soft_target_loss(logits, logits + 3.0, 4.0)) == pytest.approx(0, abs=1e-12)
    assert float(soft_target_loss(logits, -logits, 4.0)) > 0


def test_logits_that_overflow_an_exponential_stay_finite() -> None:
    student, teacher = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True), torch.tensor([[-1e4, 1e4, 0.0]])
    loss = soft_target_loss(student, [teacher, teacher], 1.0)
    (gradient,) = torch.autograd.grad(loss, student)
    assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_one_class_is_refused_because_its_probability_is_always_one() -> None:
    with pytest.raises(ValueError, match="one class"):
        soft_target_loss(draw(4, 1, seed=1), draw(4, 1, seed=2))
    with pytest.raises(ValueError, match="shape"):
        soft_target_loss(draw(4, 3, seed=1), draw(4, 2, seed=2))


def test_mimicking_is_the_mean_square_to_the_mean_of_the_teachers() -> None:
    student, teachers = draw(4, 3, seed=1), [draw(4, 3, seed=2), draw(4, 3, seed=3)]
    expected = (
        sum(
            (float(student[n, c]) - (float(teachers[0][n, c]) + float(teachers[1][n, c])) / 2) ** 2
            for n, c in itertools.product(range(4), range(3))
        )
        / 12
    )
    assert float(mimic_loss(student, teachers)) == pytest.approx(expected, abs=TOLERANCE)


def test_mutual_learning_is_the_mean_divergence_from_the_peers_at_temperature_one() -> None:
    own, peers = draw(5, 4, seed=1), [draw(5, 4, seed=2), draw(5, 4, seed=3)]
    total = sum(divergence(softmax(peer[n].numpy(), 1.0), softmax(own[n].numpy(), 1.0)) for peer in peers for n in range(5)) / (
        5 * 2
    )
    assert float(mutual_loss(own, peers)) == pytest.approx(total, abs=TOLERANCE)
    assert float(binary_mutual_loss(own, peers)) == pytest.approx(
        np.mean([float(binary_soft_target_loss(own, peer, 1.0)) for peer in peers]), abs=TOLERANCE
    )
    with pytest.raises(ValueError, match="another network"):
        mutual_loss(own, [])


# ---------------------------------------------------------------------------- features


def attention_vector(features: np.ndarray, power: float) -> list[list[float]]:
    rows = []
    for sample in features:
        flat = sample.reshape(len(sample), -1)
        row = [sum(abs(float(flat[c, i])) ** power for c in range(len(flat))) for i in range(flat.shape[1])]
        norm = math.sqrt(sum(v * v for v in row))
        rows.append([v / norm for v in row])
    return rows


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_attention_compares_normalised_maps_whatever_the_channels(power: float) -> None:
    student, teacher = draw(3, 4, 5, 6, seed=1), draw(3, 9, 5, 6, seed=2)
    first, second = attention_vector(student.numpy(), power), attention_vector(teacher.numpy(), power)
    squares = [(a - b) ** 2 for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)]
    expected = sum(squares) / len(squares)
    assert float(attention_loss(student, teacher, power=power)) == pytest.approx(expected, abs=TOLERANCE)


def test_attention_averages_the_larger_map_down() -> None:
    student, teacher = draw(2, 4, 4, 4, seed=1), draw(2, 3, 8, 8, seed=2)
    squares = np.square(teacher.numpy()).sum(1)
    halved = np.array([[[m[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for x in range(4)] for y in range(4)] for m in squares])
    mine = np.square(student.numpy()).sum(1)
    unit = [m.reshape(2, -1) / np.linalg.norm(m.reshape(2, -1), axis=1, keepdims=True) for m in (mine, halved)]
    expected = np.square(unit[0] - unit[1]).mean()
    assert float(attention_loss(student, teacher)) == pytest.approx(expected, abs=TOLERANCE)
    assert float(attention_loss(teacher, student)) == pytest.approx(expected, abs=TOLERANCE)


def test_attention_of_signals_volumes_and_channels_that_stand_last() -> None:
    student, teacher = draw(2, 4, 7, seed=1), draw(2, 6, 7, seed=2)
    loss = float(attention_loss(student, teacher))
    assert float(attention_loss(student.transpose(1, 2), teacher.transpose(1, 2), axis=-1)) == pytest.approx(loss, abs=1e-12)
    assert float(attention_loss(draw(2, 3, 4, 4, 4, seed=1), draw(2, 5, 2, 2, 2, seed=2))) > 0
    with pytest.raises(ValueError, match="positions"):
        attention_loss(draw(2, 4, seed=1), draw(2, 4, seed=2))


def distances(embeddings: np.ndarray) -> list[list[float]]:
    n = len(embeddings)
    raw = [
        [
            math.sqrt(sum((float(a) - float(b)) ** 2 for a, b in zip(embeddings[i], embeddings[j], strict=True)))
            for j in range(n)
        ]
        for i in range(n)
    ]
    some = [d for row in raw for d in row if d > 0]
    return [[d / (sum(some) / len(some)) for d in row] for row in raw]


def test_relational_distances_are_relative_to_each_networks_own_mean() -> None:
    student, teacher = draw(6, 3, seed=1), draw(6, 8, seed=2, scale=50)
    first, second = distances(student.numpy()), distances(teacher.numpy())
    expected = sum(huber(first[i][j] - second[i][j]) for i, j in itertools.product(range(6), range(6))) / 36
    assert float(relational_distance_loss(student, teacher)) == pytest.approx(expected, abs=TOLERANCE)


def angles(embeddings: np.ndarray) -> dict[tuple[int, int, int], float]:
    found = {}
    for i, j, k in itertools.product(range(len(embeddings)), repeat=3):
        a, b = embeddings[i] - embeddings[j], embeddings[k] - embeddings[j]
        size = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
        found[i, j, k] = float(a @ b) / size if size else 0.0
    return found


def test_relational_angles_are_those_between_all_triples() -> None:
    student, teacher = draw(5, 3, seed=1), draw(5, 7, seed=2)
    first, second = angles(student.numpy()), angles(teacher.numpy())
    expected = sum(huber(first[t] - second[t]) for t in first) / 125
    assert float(relational_angle_loss(student, teacher)) == pytest.approx(expected, abs=TOLERANCE)
    both = 25 * float(relational_distance_loss(student, teacher)) + 50 * expected
    assert float(relational_loss(student, teacher)) == pytest.approx(both, abs=1e-5)


def test_equal_samples_in_a_batch_give_no_nan_in_relational_losses() -> None:
    student, teacher = torch.ones(4, 3, dtype=torch.float64).requires_grad_(), draw(4, 3, seed=2)
    loss = relational_loss(student, teacher) + similarity_loss(student, teacher)
    (gradient,) = torch.autograd.grad(loss, student)
    assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_a_batch_of_one_has_no_relations() -> None:
    assert float(relational_loss(draw(1, 3, seed=1), draw(1, 4, seed=2))) == 0
    assert float(similarity_loss(draw(1, 3, seed=1), draw(1, 4, seed=2))) == pytest.approx(0, abs=1e-12)


def similarities(features: np.ndarray) -> np.ndarray:
    flat = features.reshape(len(features), -1)
    gram = np.array([[sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) for y in flat] for x in flat])
    return np.array([row / math.sqrt(sum(v * v for v in row)) for row in gram])


def test_similarities_are_normalised_row_by_row_and_divided_by_the_batch_squared() -> None:
    student, teacher = draw(5, 3, 2, 2, seed=1), draw(5, 4, 3, 3, seed=2)
    difference = similarities(student.numpy()) - similarities(teacher.numpy())
    expected = sum(float(v) ** 2 for v in difference.ravel()) / 25
    assert float(similarity_loss(student, teacher)) == pytest.approx(expected, abs=TOLERANCE)


def test_a_hint_is_half_the_mean_square() -> None:
    student, teacher = draw(3, 2, 2, seed=1), draw(3, 2, 2, seed=2)
    pairs = zip(student.numpy().ravel(), teacher.numpy().ravel(), strict=True)
    assert float(hint_loss(student, teacher)) == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / 2 / 12, abs=TOLERANCE)


# ---------------------------------------------------------------------------- gradients and precision

LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], tuple[int, ...], tuple[int, ...]]] = {
    "soft targets": (lambda s, t: soft_target_loss(s, t, 3.0), (3, 4), (3, 4)),
    "soft targets of two": (lambda s, t: soft_target_loss(s, [t, 2 * t], 3.0), (3, 4), (3, 4)),
    "soft targets of two, geometric": (lambda s, t: soft_target_loss(s, [t, -t], 3.0, mean="geometric"), (3, 4), (3, 4)),
    "binary soft targets": (lambda s, t: binary_soft_target_loss(s, t, 3.0), (3, 4), (3, 4)),
    "mimic": (mimic_loss, (3, 4), (3, 4)),
    "mutual": (lambda s, t: mutual_loss(s, [t, 2 * t]), (3, 4), (3, 4)),
    "attention": (attention_loss, (2, 3, 4, 4), (2, 5, 2, 2)),
    "relational distance": (relational_distance_loss, (4, 3), (4, 5)),
    "relational angle": (relational_angle_loss, (4, 3), (4, 5)),
    "similarity": (similarity_loss, (4, 3), (4, 5)),
    "hint": (hint_loss, (3, 4), (3, 4)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences_and_none_reaches_the_teacher(name: str) -> None:
    loss, mine, theirs = LOSSES[name]
    student, teacher = draw(*mine, seed=5).requires_grad_(), draw(*theirs, seed=6).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher.detach()), (student,))
    loss(student, teacher).backward()
    assert student.grad is not None and teacher.grad is None


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_widened_before_the_loss(name: str) -> None:
    loss, mine, theirs = LOSSES[name]
    student, teacher = draw(*mine, seed=5).bfloat16(), draw(*theirs, seed=6).bfloat16()
    found = loss(student, teacher)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(loss(student.double(), teacher.double())), rel=1e-3)
