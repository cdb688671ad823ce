"""Distillation inside the training loop: it converges to its teacher, resumes, and a teacher that knows less is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.errors import InputError
from edgekit.ir import Graph
from edgekit.train import Training
from edgekit.train.distillation import Distillation, Hint
from edgekit.train.distillation.judge import teacher_scores, worse_teachers
from edgekit.train.loop import train

from .networks import convolutions, graph_of

SETTINGS = Training(epochs=3, batch_size=32, lr=0.01, validation=0.25)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Three classes of noisy textures."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 160)
    waves = np.stack([np.sin(np.arange(6) * (1 + label)) for label in y]).astype(np.float32)
    x = waves[:, None, None, :] + generator.normal(0, 0.2, (160, 2, 6, 6)).astype(np.float32)
    return x.astype(np.float32), y.astype(np.int64)


@pytest.fixture(scope="module")
def teacher(data: tuple[np.ndarray, np.ndarray]) -> Graph:
    return train(graph_of(convolutions(2, width=8)), data, Training(epochs=15, batch_size=16, lr=0.02, validation=0.25)).graph


def test_a_student_without_labels_comes_to_predict_what_its_teacher_does(
    data: tuple[np.ndarray, np.ndarray], teacher: Graph
) -> None:
    student, settings = graph_of(convolutions(1)), Training(epochs=15, batch_size=16, lr=0.02, validation=0.0)
    objective = Distillation(alpha=1.0).objective(student, [teacher], settings)
    trained = train(student, (data[0], np.full(160, -100)), settings, objective)
    x = torch.from_numpy(data[0])
    wanted = teacher.module().eval()(x).argmax(1)
    agreement = [float((g.module().eval()(x).argmax(1) == wanted).float().mean()) for g in (student, trained.graph)]
    assert agreement[1] > 0.9 > agreement[0]
    assert trained.epochs[-1].terms["soft_targets"] < 0.7 * trained.epochs[0].terms["soft_targets"]


def test_regressors_are_trained_along_and_are_not_in_the_student(data: tuple[np.ndarray, np.ndarray], teacher: Graph) -> None:
    student = graph_of(convolutions(1))
    settings = Training(epochs=3, batch_size=32, lr=0.01, validation=0.25)
    distillation = Distillation(features=(Hint("second", loss="hint"),), hint_epochs=2)
    objective = distillation.objective(student, [teacher], settings)
    before = [p.detach().clone() for p in objective.modules.parameters()]
    trained = train(student, data, settings, objective)
    assert [list(epoch.terms) for epoch in trained.epochs] == [["hint:second"], ["hint:second"], ["task", "soft_targets"]]
    assert trained.epochs[1].terms["hint:second"] < trained.epochs[0].terms["hint:second"]
    assert not any(torch.equal(a, b) for a, b in zip(before, objective.modules.parameters(), strict=True))
    assert trained.graph.state.keys() == student.state.keys() and trained.graph.parameters == student.parameters


def test_a_training_that_was_interrupted_ends_with_the_same_weights(
    data: tuple[np.ndarray, np.ndarray], teacher: Graph, tmp_path: Path
) -> None:
    student = graph_of(convolutions(1))
    distillation = Distillation(features=(Hint("second", loss="hint"),))

    class Stopped(Exception):
        pass

    def run(folder: Path | None, stop: bool) -> dict[str, torch.Tensor]:
        objective = distillation.objective(student, [teacher], SETTINGS)
        if stop:
            real = objective.__class__.__call__

            class Stops(type(objective)):  # type: ignore[misc]
                __qualname__ = type(objective).__qualname__

                def __call__(self, step: object) -> object:
                    if step.epoch == 2:  # type: ignore[attr-defined]
                        raise Stopped
                    return real(self, step)

            objective.__class__ = Stops
        return dict(train(student, data, SETTINGS, objective, folder=folder).graph.module().state_dict())

    with pytest.raises(Stopped):
        run(tmp_path, stop=True)
    resumed, undisturbed = run(tmp_path, stop=False), run(None, stop=False)
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)


def test_a_checkpoint_of_another_teacher_is_not_gone_on_with(
    data: tuple[np.ndarray, np.ndarray], teacher: Graph, tmp_path: Path
) -> None:
    student = graph_of(convolutions(1))
    settings = Training(epochs=1, batch_size=64, validation=0.0)
    for temperature in (4.0, 2.0):
        objective = Distillation(temperature=temperature).objective(student, [teacher], settings)
        if temperature == 4.0:
            train(student, data, settings, objective, folder=tmp_path)
        else:
            with pytest.raises(InputError, match="belongs to another training"):
                train(student, data, settings, objective, folder=tmp_path)


def test_a_teacher_that_is_worse_than_its_student_is_pointed_out(data: tuple[np.ndarray, np.ndarray], teacher: Graph) -> None:
    student, ignorant = graph_of(convolutions(1)), graph_of(convolutions(5, width=8))
    settings = Training(epochs=8, batch_size=32, lr=0.01, validation=0.25)
    objective = Distillation(alpha=0.1, teachers=("source", "net:ignorant")).objective(student, [teacher, ignorant], settings)
    trained = train(student, data, settings, objective)
    scores = teacher_scores(objective, trained.graph, data, settings)
    assert scores["source"]["top1"] > 0.9 > scores["net:ignorant"]["top1"]
    sentences = worse_teachers(scores, trained)
    assert [s for s in sentences if "'net:ignorant' is worse than its student" in s and "top-1" in s]


def test_teachers_of_numbers_are_judged_by_the_loss(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data[0], data[0].mean((1, 2, 3), keepdims=False)[:, None]
    student, ignorant = graph_of(convolutions(1, classes=1)), convolutions(5, classes=1)
    settings = Training(epochs=6, batch_size=32, lr=0.02, validation=0.25)
    objective = Distillation(alpha=0.1).objective(student, [ignorant], settings)
    trained = train(student, (x, y), settings, objective)
    (sentence,) = worse_teachers(teacher_scores(objective, trained.graph, (x, y), settings), trained)
    assert "loss" in sentence


def test_nothing_is_said_where_nothing_was_held_out(data: tuple[np.ndarray, np.ndarray], teacher: Graph) -> None:
    student, settings = graph_of(convolutions(1)), Training(epochs=1, batch_size=64, validation=0.0)
    objective = Distillation().objective(student, [teacher], settings)
    trained = train(student, data, settings, objective)
    assert worse_teachers(teacher_scores(objective, trained.graph, data, settings), trained) == ()


def test_samples_without_label_are_neither_held_out_nor_counted(data: tuple[np.ndarray, np.ndarray], teacher: Graph) -> None:
    x, y = data[0], np.where(np.arange(160) < 60, data[1], -100)
    student, settings = graph_of(convolutions(1)), Training(epochs=10, batch_size=32, lr=0.02, validation=0.25)
    objective = Distillation(alpha=0.5).objective(student, [teacher], settings)
    last = train(student, (x, y), settings, objective).epochs[-1]
    assert last.validation["top1"] > 0.6 and np.isfinite(last.validation["loss"])  # 15 samples, all labelled
    assert last.training["top1"] > 0.5  # of the 45 labelled ones: of all 145 at most 0.31
