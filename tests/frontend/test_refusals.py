"""Whatever cannot be translated is told once, all of it, in the user's terms and with exit code 4."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit import InputError, Unsupported
from edgekit.frontend.source import load
from tests.frontend.compare import Function

X = torch.randn(2, 6)


class Unknown(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cumprod(x, 1)


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Unknown(), Unknown()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.first(x))
        y = torch.sort(y, 1).values
        return y[torch.tensor([1, 0])]


def test_one_missing_lowering_reads_as_documented() -> None:
    with pytest.raises(Unsupported) as caught:
        load(nn.Sequential(nn.ReLU(), Unknown()), (X,))
    what, where, hint = str(caught.value).splitlines()
    assert what == "edgekit has no lowering for 'aten.cumprod.default'"
    assert where.startswith("  where: 1 (") and where.endswith(", in forward)") and "test_refusals.py:" in where
    assert hint == "  try:   rewrite the layer with supported ops (`edgekit ops`), or add one: docs/adding-an-op.md"
    assert caught.value.exit_code == 4


def test_all_that_is_missing_is_told_at_once_what_depends_on_it_included() -> None:
    with pytest.raises(Unsupported) as caught:
        load(Several(), (X,))
    error = caught.value
    assert error.what.startswith("edgekit has no lowering for 'aten.cumprod.default', 'aten.sort.default'")
    places = (error.where or "").splitlines()
    assert [place.split()[:2] for place in places[:2]] == [
        ["aten.cumprod.default", "first"],
        ["aten.cumprod.default", "second"],
    ]
    assert len(places) == 3 and all("test_refusals.py:" in place for place in places)


def test_a_model_without_a_name_for_the_place_is_called_by_its_class() -> None:
    with pytest.raises(Unsupported, match="running statistics") as caught:
        load(nn.BatchNorm1d(6, track_running_stats=False), (X,))
    assert caught.value.where == "the model itself (BatchNorm1d)"


def test_a_model_that_raises_is_an_input_error_with_the_users_line() -> None:
    with pytest.raises(InputError, match="the model raised RuntimeError: mat1 and mat2") as caught:
        load(Function(lambda x: x @ torch.ones(3, 3)), (X,))
    assert "test_refusals.py:" in (caught.value.where or "") and caught.value.exit_code == 2


def test_a_choice_by_values_is_refused_with_the_users_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unsupported, match="chooses what to compute by the values of a tensor") as caught:
        load(Function(lambda x: x * 2 if x.sum() > 0 else x), (X,))
    assert "test_refusals.py:" in (caught.value.where or "") and "torch.where" in (caught.value.hint or "")
    out, err = capfd.readouterr()
    assert out == err == ""  # torch prints its half-made program otherwise


def test_what_only_the_tracer_cannot_do_is_unsupported() -> None:
    with pytest.raises(Unsupported, match=r"torch\.export cannot trace the model") as caught:
        load(Function(lambda x: x * torch.from_numpy(x.detach().numpy())), (X,))
    assert "test_refusals.py:" in (caught.value.where or "") and "numpy" in (caught.value.hint or "")


def test_a_loop_of_torch_is_refused() -> None:
    def branches(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda y: y * 2, lambda y: y + 1, (x,))

    with pytest.raises(Unsupported, match="chooses what to compute while running"):
        load(Function(branches), (X,))


def test_a_value_read_from_a_tensor_is_refused() -> None:
    with pytest.raises(Unsupported, match="known only while running"):
        load(Function(lambda x: x * x.sum().item()), (X,))


def test_warnings_of_the_users_own_code_are_given_once() -> None:
    import warnings

    def warn(x: torch.Tensor) -> torch.Tensor:
        warnings.warn("my own words", UserWarning, stacklevel=1)
        return x * 2

    with pytest.warns(UserWarning, match="my own words"):
        load(Function(warn), (X,))


@pytest.mark.parametrize(
    ("examples", "message"),
    [((X, X), "too many positional arguments"), ({"y": X}, "missing a required argument"), ((), "missing a required argument")],
)
def test_examples_that_do_not_fit_forward_are_input_errors(examples: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(Unknown(), examples)
