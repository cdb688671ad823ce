"""Random networks of the operator table agree in all runtimes; what disagrees is shrunk to a script that shows it."""

from __future__ import annotations

import pytest
import torch

from benchmarks.fuzz import checking
from benchmarks.fuzz.checking import check
from benchmarks.fuzz.drawing import draw
from benchmarks.fuzz.program import Network, Program, Step
from benchmarks.fuzz.repro import script
from benchmarks.fuzz.shrinking import shrink
from benchmarks.operators.row import Given

torch.set_num_threads(1)


def test_a_seed_draws_the_same_network_every_time() -> None:
    programs = [draw(seed) for seed in range(20)]
    assert programs == [draw(seed) for seed in range(20)]
    assert len({step.row for program in programs for step in program.steps}) > 40
    assert {len(program.inputs) for program in programs} >= {1, 2} and max(len(p.outputs) for p in programs) > 1
    first, again = Network(programs[0]), Network(programs[0])
    for one, other in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("seed", range(1000, 1008))
def test_a_random_network_agrees_everywhere(seed: int) -> None:
    program = draw(seed)
    verdict = check(program)
    assert verdict.disagreements == (), script(program)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(2000, 2200, 20))
def test_200_random_networks_agree_everywhere(start: int) -> None:
    for seed in range(start, start + 20):
        program = draw(seed)
        assert check(program).disagreements == (), script(program)


def long_program() -> Program:
    """Eight steps of which one matters."""
    names = (
        "nn.Conv2d, padding='same'",
        "nn.ReLU",
        "x + number",
        "nn.AvgPool2d",
        "torch.sin",
        "nn.GELU",
        "nn.Flatten",
        "nn.Linear",
    )
    steps = tuple(Step(name, (f"s{key - 1}" if key else "x0",), key) for key, name in enumerate(names))
    return Program(3, {"x0": Given((4, 9, 8))}, steps, ("s7", "s2", "s4"))


def test_a_disagreement_is_shrunk_to_the_step_that_causes_it() -> None:
    def fails(program: Program) -> bool:
        return any(step.row == "torch.sin" for step in program.steps)

    small = shrink(long_program(), fails)
    assert [step.row for step in small.steps] == ["torch.sin"]
    assert [given.shape for given in small.inputs.values()] == [(1, 1, 1)]


def test_a_script_shows_the_same_network() -> None:
    program = long_program()
    made: dict[str, object] = {}
    exec(script(program).partition("print(Network")[0], made)
    assert made["program"] == program


def test_a_wrong_number_is_a_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "TOLERANCE", -1.0)
    program = Program(0, {"x0": Given((3, 4))}, (Step("torch.exp", ("x0",), 1),), ("s1",))
    assert {text.partition(":")[0] for text in check(program).disagreements} == {"tflite-fp32", "onnx-fp32"}


def test_an_exception_is_a_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise KeyError("s1")

    monkeypatch.setattr(checking, "load", broken)
    program = Program(0, {"x0": Given((3, 4))}, (Step("torch.exp", ("x0",), 1),), ("s1",))
    assert check(program).disagreements == ("KeyError: 's1'",)


def test_integers_that_are_not_compared_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (
        Step("nn.Conv2d, padding='same'", ("x0",), 0),
        Step("torch.sin", ("s0",), 1),
        Step("nn.Conv2d, padding='same'", ("s1",), 2),
    )
    program = Program(3, {"x0": Given((4, 9, 8))}, steps, ("s2",))
    found = check(program).integers
    assert found.compared == 1 and not found.noise
    monkeypatch.setattr(checking, "_is_noise", lambda wanted, moved: True)
    left_out = check(program).integers
    assert left_out.compared == 0 and len(left_out.noise) == 1
