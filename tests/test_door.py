"""``import edgekit`` is the one public door: lazy, complete, and never overwritten by a submodule."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import edgekit

HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "ai_edge_litert", "tensorflow", "rich", "flatbuffers")


def heavy_imports(code: str) -> list[str]:
    """Which heavy packages a fresh interpreter has imported after running the code."""
    script = f"import sys\n{code}\nprint([name for name in {HEAVY} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    found: list[str] = ast.literal_eval(answer.stdout.splitlines()[-1])
    return found


def every_submodule() -> list[str]:
    return [
        module.name for module in pkgutil.walk_packages(edgekit.__path__, "edgekit.") if not module.name.endswith("__main__")
    ]


def test_importing_edgekit_imports_nothing_heavy() -> None:
    assert heavy_imports("import edgekit; dir(edgekit); edgekit.EdgekitError; edgekit.Target.load('tflite-int8')") == []


def test_help_imports_nothing_heavy() -> None:
    assert heavy_imports("from edgekit.cli import main; main(['--help']); main(['build', '--help'])") == []


def test_steps_are_written_down_and_a_recipe_is_read_without_anything_heavy() -> None:
    steps = "[{'step': 'prune', 'macs': 0.5, 'rounds': 2}, {'step': 'fine_tune'}, {'step': 'low_rank', 'macs': 0.5}]"
    read = f"from edgekit.compress.steps import parse_steps; parse_steps({steps}, None)"
    assert heavy_imports(f"import edgekit as ek; ek.Recipe([ek.Prune(macs=0.5), ek.FineTune()]); {read}") == []


@pytest.mark.parametrize("name", edgekit.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(edgekit, name) is not None


def test_every_lazy_name_is_public_and_listed() -> None:
    assert set(edgekit._HOME) <= set(edgekit.__all__) <= set(dir(edgekit))
    assert len(set(edgekit.__all__)) == len(edgekit.__all__)  # their order is the linter's


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'bulid'"):
        _ = edgekit.bulid  # type: ignore[attr-defined]


def test_no_submodule_overwrites_a_public_name() -> None:
    before = {name: getattr(edgekit, name) for name in edgekit.__all__}
    for module in every_submodule():
        importlib.import_module(module)
    after = {name: getattr(edgekit, name) for name in edgekit.__all__}
    assert [name for name in before if after[name] is not before[name]] == []
    submodules = {module.name for module in pkgutil.iter_modules(edgekit.__path__)}
    assert submodules & set(edgekit.__all__) == set()


def test_public_functions_refuse_a_wrong_call_the_same_way_twice() -> None:
    """Looking a function up must not change what the second look-up gives."""
    for module in every_submodule():
        importlib.import_module(module)
    functions = [name for name in edgekit.__all__ if inspect.isfunction(getattr(edgekit, name))]
    for name in functions:
        for _ in range(2):
            with pytest.raises(TypeError, match="argument"):
                getattr(edgekit, name)(no_such_argument=1)
