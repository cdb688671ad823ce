"""Teachers by name: the source, files, callables with weights; each becomes a graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgekit.compress.context import Context
from edgekit.compress.teachers import load_teachers
from edgekit.errors import InputError, UsageError
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.train.distillation import Distillation

NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
"""


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


@pytest.fixture
def student() -> Graph:
    return load(network(0), example_inputs=(torch.zeros(1, 4),))


def test_each_kind_of_name_gives_the_network_that_it_names(student: Graph, tmp_path: Path) -> None:
    module, x = network(1), torch.randn(5, 4)
    (tmp_path / "nets_of_teachers.py").write_text(NET)
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    load(module, example_inputs=(torch.zeros(1, 4),)).save(tmp_path / "teacher.ekg")
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(module, (torch.zeros(2, 4),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "teacher.pt2")
    names = ("source", "nets_of_teachers:build@weights.pth", "teacher.ekg", "teacher.pt2")
    source = load(module, example_inputs=(torch.zeros(1, 4),))
    teachers = load_teachers(Distillation(teachers=names), student, Context(source=source, root=tmp_path))
    for teacher in teachers:
        torch.testing.assert_close(teacher.module().eval()(x), module(x))
    objective = Distillation(teachers=names).objective(student, teachers)
    assert [teacher.name for teacher in objective.teachers] == list(names)


def test_a_teacher_that_is_not_there_is_an_error_of_three_parts(student: Graph, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='teacher "source" is the network before compression') as error:
        load_teachers(Distillation(), student, Context())
    assert error.value.where and error.value.hint
    with pytest.raises(InputError, match=r"teacher\.ekg"):
        load_teachers(Distillation(teachers=("teacher.ekg",)), student, Context(root=tmp_path))
