"""The objective of distillation: which terms it has, from which values of which networks."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.errors import InputError, Unsupported, UsageError
from edgekit.train import Training
from edgekit.train.distillation import Distillation, Hint, attention_loss, similarity_loss, soft_target_loss
from edgekit.train.objective import Objective, Pass

from .networks import Convolutions, batch, convolutions, graph_of, run_through

LABELS = torch.tensor([0, 2, 1, 1, 0])


def test_it_is_an_objective_of_the_loop() -> None:
    graph = graph_of(convolutions(1))
    assert isinstance(Distillation().objective(graph, [graph]), Objective)


def test_task_and_soft_targets_share_by_alpha() -> None:
    student, teacher = graph_of(convolutions(1)), graph_of(convolutions(2, width=8))
    objective = Distillation(temperature=3.0, alpha=0.7).objective(student, [teacher])
    x = batch()
    terms = objective(run_through(student, objective, x, LABELS))
    mine, theirs = student.module().eval()(x), teacher.module().eval()(x)
    assert list(terms) == ["task", "soft_targets"]
    torch.testing.assert_close(terms["task"], 0.3 * F.cross_entropy(mine, LABELS))
    torch.testing.assert_close(terms["soft_targets"], 0.7 * soft_target_loss(mine, theirs, 3.0))


def test_with_alpha_one_no_labels_are_needed() -> None:
    student, teacher = graph_of(convolutions(1)), graph_of(convolutions(2))
    objective = Distillation(alpha=1.0).objective(student, [teacher])
    assert list(objective(run_through(student, objective, batch()))) == ["soft_targets"]
    needs = Distillation(alpha=0.5).objective(student, [teacher])
    with pytest.raises(InputError, match="no labels"):
        needs(run_through(student, needs, batch()))


def test_samples_without_label_have_no_part_in_the_task_and_their_full_part_in_the_rest() -> None:
    student, teacher = graph_of(convolutions(1, end="softmax")), graph_of(convolutions(2))
    objective = Distillation(alpha=0.5).objective(student, [teacher])
    x, some = batch(), torch.tensor([0, -100, 1, -100, 2])
    terms, all_terms = (objective(run_through(student, objective, x, labels)) for labels in (some, LABELS))
    logits = student.module().eval()(x).log()
    torch.testing.assert_close(terms["task"], 0.5 * F.cross_entropy(logits[[0, 2, 4]], some[[0, 2, 4]]))
    torch.testing.assert_close(terms["soft_targets"], all_terms["soft_targets"])
    nobody = objective(run_through(student, objective, x, torch.full((5,), -100)))
    assert list(nobody) == ["soft_targets"]


@pytest.mark.parametrize("ends", [("softmax", "softmax"), ("softmax", ""), ("", "log_softmax"), ("log_softmax", "softmax")])
def test_a_graph_that_ends_in_softmax_is_distilled_on_its_logits(ends: tuple[str, str]) -> None:
    plain, teacher = (graph_of(convolutions(seed)) for seed in (1, 2))
    wanted = soft_target_loss(plain.module().eval()(batch()), teacher.module().eval()(batch()), 4.0)
    student, source = (graph_of(convolutions(seed, end=end)) for seed, end in zip((1, 2), ends, strict=True))
    objective = Distillation(alpha=1.0).objective(student, [source])
    torch.testing.assert_close(objective(run_through(student, objective, batch()))["soft_targets"], wanted)


def test_outputs_that_end_in_a_sigmoid_are_distilled_one_by_one() -> None:
    student, teacher = (graph_of(convolutions(seed, end="sigmoid", classes=1)) for seed in (1, 2))
    objective = Distillation(alpha=1.0, temperature=2.0).objective(student, [teacher])
    loss = objective(run_through(student, objective, batch()))["soft_targets"]
    p, q = (torch.sigmoid(torch.logit(g.module().eval()(batch())) / 2) for g in (teacher, student))
    expected = 4 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-4)
    assert float(loss.detach()) > 0


def test_logits_without_an_activation_are_what_the_tasks_loss_says() -> None:
    student, teacher = (graph_of(convolutions(seed, classes=1)) for seed in (1, 2))
    yes = torch.tensor([[1.0], [0.0], [1.0], [1.0], [0.0]])
    as_bce = Distillation(alpha=0.5).objective(student, [teacher], Training(loss="bce"))
    as_numbers = Distillation(alpha=0.5).objective(student, [teacher])
    mine, theirs = student.module().eval()(batch()), teacher.module().eval()(batch())
    numbers = as_numbers(run_through(student, as_numbers, batch(), yes))
    torch.testing.assert_close(numbers["soft_targets"], 0.5 * F.mse_loss(mine, theirs))
    torch.testing.assert_close(numbers["task"], 0.5 * F.mse_loss(mine, yes))
    assert not torch.equal(as_bce(run_through(student, as_bce, batch(), yes))["soft_targets"], numbers["soft_targets"])


def test_one_output_of_unknown_meaning_is_refused() -> None:
    student, teacher = (graph_of(convolutions(seed, classes=1)) for seed in (1, 2))
    objective = Distillation(alpha=1.0).objective(student, [teacher])
    with pytest.raises(InputError, match="what output 'classifier' predicts is unclear"):
        objective(run_through(student, objective, batch()))
    said = Distillation(alpha=1.0, kind="binary").objective(student, [teacher])
    assert float(said(run_through(student, said, batch()))["soft_targets"].detach()) > 0


def test_classes_of_an_output_with_one_number_a_sample_are_refused() -> None:
    student, teacher = (graph_of(convolutions(seed, classes=1)) for seed in (1, 2))
    objective = Distillation(alpha=1.0, kind="classes").objective(student, [teacher])
    with pytest.raises(InputError, match="output 'classifier' has one number a sample") as caught:
        objective(run_through(student, objective, batch()))
    assert 'kind = "numbers"' in str(caught.value.hint)


def test_probabilities_in_the_place_of_logits_are_refused() -> None:
    student, teacher = graph_of(convolutions(1)), graph_of(convolutions(2, end="by hand"))
    for first, second, whose in ((student, teacher, "of the teacher 'source'"), (teacher, student, "of the student")):
        objective = Distillation(alpha=1.0).objective(first, [second])
        with pytest.raises(InputError, match=f"{whose} are probabilities"):
            objective(run_through(first, objective, batch()))
    objective = Distillation(alpha=1.0).objective(student, [convolutions(2, end="softmax")])
    with pytest.raises(InputError, match="are probabilities"):
        objective(run_through(student, objective, batch()))
    yes = graph_of(convolutions(1, end="sigmoid"))
    objective = Distillation(alpha=1.0).objective(yes, [convolutions(2, end="sigmoid")])
    with pytest.raises(InputError, match="are probabilities"):
        objective(run_through(yes, objective, batch()))


def test_a_softmax_and_a_sigmoid_do_not_go_together() -> None:
    student, teacher = graph_of(convolutions(1, end="softmax")), graph_of(convolutions(2, end="sigmoid"))
    with pytest.raises(InputError, match="different activations: binary, classes"):
        Distillation().objective(student, [teacher])


class Exits(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(count)])
        self.heads = nn.ModuleList([nn.Linear(4, 3) for _ in range(count)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = []
        for layer, head in zip(self.layers, self.heads, strict=True):
            x = torch.tanh(layer(x))
            outputs.append(head(x))
        return tuple(outputs)


def test_several_outputs_learn_from_as_many_or_from_the_teachers_only_one() -> None:
    torch.manual_seed(0)
    x = batch(5, 4)
    student, same, single, three = (graph_of(Exits(count), x[:2]) for count in (2, 2, 1, 3))
    mine = student.module()(x)
    for teacher, theirs in ((same, same.module()(x)), (single, [*single.module()(x)] * 2)):
        objective = Distillation(alpha=1.0).objective(student, [teacher])
        expected = sum(soft_target_loss(s, t, 4.0) for s, t in zip(mine, theirs, strict=True)) / 2
        torch.testing.assert_close(objective(run_through(student, objective, x))["soft_targets"], expected)
    with pytest.raises(Unsupported, match="has 3 outputs and the student 2"):
        Distillation().objective(student, [three])


def test_teachers_may_be_graphs_or_modules_and_several_are_an_ensemble() -> None:
    student, first, second = graph_of(convolutions(1)), convolutions(2), convolutions(3, width=8)
    settings = Distillation(alpha=1.0, teachers=("source", "net:other"), mean="geometric")
    expected = soft_target_loss(
        student.module().eval()(batch()), [m.eval()(batch()) for m in (first, second)], 4.0, mean="geometric"
    )
    for teachers in ([first, second], [graph_of(first), second], [graph_of(first), graph_of(second)]):
        objective = settings.objective(student, teachers)
        torch.testing.assert_close(objective(run_through(student, objective, batch()))["soft_targets"], expected)
    with pytest.raises(UsageError, match="1 teachers for the 2"):
        settings.objective(student, [first])


@pytest.mark.parametrize("as_graph", [True, False])
def test_teachers_answer_in_evaluation_mode_without_gradient_and_stay_as_they_are(as_graph: bool) -> None:
    module = convolutions(2).train()
    before = copy.deepcopy(module.state_dict())
    teacher = graph_of(module) if as_graph else module
    student = graph_of(convolutions(1))
    settings = Distillation(alpha=1.0, features=(Hint("second", loss="attention"),))
    objective = settings.objective(student, [teacher])
    found = [objective(run_through(student, objective, batch())) for _ in range(2)]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])  # no dropout, no batch statistics
    sum(found[1].values()).backward()  # type: ignore[union-attr]
    assert module.training and all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(not parameter.requires_grad for t in objective.teachers for parameter in t.module.parameters())
    assert list(objective.modules.parameters()) == []


def test_a_teacher_of_other_inputs_or_outputs_is_refused_by_name() -> None:
    student = graph_of(convolutions(1))
    with pytest.raises(InputError, match="the teacher 'source' takes float32"):
        Distillation().objective(student, [graph_of(convolutions(2), torch.zeros(2, 2, 8, 8))])
    with pytest.raises(InputError, match=r"has shape \(2, 3\) and the teacher's \(2, 4\)"):
        Distillation().objective(student, [graph_of(convolutions(2, classes=4))])
    with pytest.raises(InputError, match="does not take the student's inputs"):
        Distillation().objective(student, [nn.Linear(3, 3)])


# ---------------------------------------------------------------------------- features


def test_features_are_compared_by_name_with_their_weights() -> None:
    student, teacher = graph_of(convolutions(1)), graph_of(convolutions(2, width=8, stride=2))
    hints = (
        Hint("first", loss="attention", weight=2.0),
        Hint("second", "first", loss="similarity"),
        Hint("second", loss="relational"),
    )
    objective = Distillation(alpha=0.0, features=hints).objective(student, [teacher])
    terms = objective(run_through(student, objective, batch(), LABELS))
    assert set(terms) == {"task", "attention:first", "similarity:second", "relational:second"}
    s, t = convolutions(1).eval(), convolutions(2, width=8, stride=2).eval()
    torch.testing.assert_close(terms["attention:first"], 2.0 * attention_loss(s.first(batch()), t.first(batch())))
    inner = s.second(F.relu(s.norm(s.first(batch()))))
    torch.testing.assert_close(terms["similarity:second"], 3000.0 * similarity_loss(inner, t.first(batch())))


def test_a_module_gives_features_by_the_names_of_its_submodules() -> None:
    student, teacher = graph_of(convolutions(1)), convolutions(2, width=8)
    settings = Distillation(alpha=0.0, features=(Hint("first"),))
    first, second = settings.objective(student, [teacher]), settings.objective(student, [graph_of(teacher)])
    found = [o(run_through(student, o, batch(), LABELS))["attention:first"] for o in (first, second)]
    torch.testing.assert_close(*found)
    with pytest.raises(UsageError, match="no submodule 'frist'") as error:
        Distillation(features=(Hint("first", "frist"),)).objective(student, [teacher])
    assert error.value.hint == "did you mean 'first'?"


def test_an_unknown_name_is_an_error_that_names_the_nearest() -> None:
    student, teacher = graph_of(convolutions(1)), graph_of(convolutions(2))
    with pytest.raises(UsageError, match="'secnd' is no value of the student") as error:
        Distillation(features=(Hint("secnd", "second"),)).objective(student, [teacher])
    assert error.value.hint == "did you mean 'second'?"
    with pytest.raises(UsageError, match="'secnd' is no value of the teacher 'source'"):
        Distillation(features=(Hint("second", "secnd"),)).objective(student, [teacher])
    with pytest.raises(UsageError, match="is a constant"):
        Distillation(features=(Hint("second.weight", "second"),)).objective(student, [teacher])


@pytest.mark.parametrize("loss", ["attention", "relational", "similarity", "hint"])
def test_a_value_that_pruning_made_smaller_still_learns_from_the_unpruned_one(loss: str) -> None:
    from edgekit import Prune

    teacher = graph_of(convolutions(2, width=8))
    student = Prune(ratio=0.5).apply(teacher)
    assert student.value("second").tensor_shape[1] == 8 < teacher.value("second").tensor_shape[1] == 16
    objective = Distillation(features=(Hint("second", loss=loss),)).objective(student, [teacher])
    term = objective(run_through(student, objective, batch(), LABELS))[f"{loss}:second"]
    term.backward()
    weight = student.state["second.weight"].data
    assert weight is not None and weight.grad is not None and float(weight.grad.abs().sum()) > 0
    assert len(list(objective.modules.parameters())) == (2 if loss == "hint" else 0)


def test_shapes_that_a_loss_cannot_compare_are_refused() -> None:
    student, teacher = graph_of(convolutions(1)), graph_of(convolutions(2))
    with pytest.raises(Unsupported, match="'attention' cannot compare 'classifier'"):
        Distillation(features=(Hint("classifier"),)).objective(student, [teacher])
    with pytest.raises(Unsupported, match="'hint' cannot compare 'second' with the teacher's 'classifier'"):
        Distillation(features=(Hint("second", "classifier", loss="hint"),)).objective(student, [teacher])


def test_fitnets_learn_the_hint_first_and_then_without_it() -> None:
    student, teacher = graph_of(convolutions(1)), graph_of(convolutions(2, width=8))
    features = (Hint("first", loss="hint"), Hint("second", loss="attention"))
    objective = Distillation(features=features, hint_epochs=2).objective(student, [teacher], Training(epochs=3))
    terms = [list(objective(run_through(student, objective, batch(), LABELS, epoch))) for epoch in range(3)]
    assert terms == [["hint:first"], ["hint:first"], ["attention:second", "task", "soft_targets"]]
    objective(run_through(student, objective, batch(), LABELS, 0))["hint:first"].backward()
    behind = student.state["second.weight"].data
    assert behind is not None and behind.grad is None  # an optimizer leaves layers behind the hint alone
    with pytest.raises(UsageError, match="leaves none of 2 epochs"):
        Distillation(features=features, hint_epochs=2).objective(student, [teacher], Training(epochs=2))


def test_patience_does_not_end_the_first_stage() -> None:
    graph, settings = graph_of(convolutions(1)), Distillation(features=(Hint("first", loss="hint"),), hint_epochs=2)
    with pytest.raises(UsageError, match="would end the training within its 2 hint_epochs"):
        settings.objective(graph, [graph], Training(epochs=9, patience=2))
    settings.objective(graph, [graph], Training(epochs=9, patience=3))


def test_a_second_teacher_gives_hints_too() -> None:
    student, teachers = graph_of(convolutions(1)), [graph_of(convolutions(2)), convolutions(3, width=6)]
    settings = Distillation(alpha=0.0, teachers=("source", "net:b"), features=(Hint("first", of=1),))
    objective = settings.objective(student, teachers)
    term = objective(run_through(student, objective, batch(), LABELS))["attention:first"]
    s, t = convolutions(1).eval(), convolutions(3, width=6).eval()
    torch.testing.assert_close(term, 1000.0 * attention_loss(s.first(batch()), t.first(batch())))


def test_sequence_outputs_find_their_class_axis_by_the_targets() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    torch.manual_seed(0)
    x = batch(5, 7, 4)
    student, teacher = graph_of(Tagger(), x[:2]), graph_of(Tagger(), x[:2])
    objective = Distillation(alpha=0.5).objective(student, [teacher])
    found = objective(run_through(student, objective, x, torch.zeros(5, 7, dtype=torch.long)))["soft_targets"]
    torch.testing.assert_close(found, 0.5 * soft_target_loss(student.module()(x), teacher.module()(x), 4.0, axis=-1))


def test_the_classes_of_the_tests_are_those_of_the_graph() -> None:
    """``run_through`` is a pass as the loop makes it."""
    graph = graph_of(Convolutions())
    objective = Distillation().objective(graph, [graph])
    made = run_through(graph, objective, batch(), LABELS)
    assert isinstance(made, Pass) and set(made.features) == set(objective.watches) == {"classifier"}


def test_its_identity_changes_with_its_settings_and_its_teachers() -> None:
    student, first, second = graph_of(convolutions(1)), convolutions(2), convolutions(3)
    made = [
        Distillation(alpha=alpha).objective(student, [teacher]).identity
        for alpha, teacher in ((0.5, first), (0.5, graph_of(first)), (0.6, first), (0.5, second))
    ]
    assert made[0] == made[1] and len(set(made)) == 3


def test_settings_hold_no_torch() -> None:
    code = (
        "import sys, edgekit.train.distillation as d; d.Distillation(features=[d.Hint('a')]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
