"""``ek.load``: any source of a network becomes a graph."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.config import is_reference
from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.reference import call, load_reference, on_sys_path
from edgekit.tables import did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from edgekit.ir.graph import Graph

#: What ``load`` reads, for errors.
SOURCES = (
    "an nn.Module, `package.module:callable`, a .pt2 (torch.export.save), .onnx, .tflite, .keras, .h5 or .ekg (graph.save) "
    "file, or a SavedModel folder"
)

_WEIGHTS_ONLY = "a checkpoint has no code: name the model (`package.module:callable`) and pass this file with --weights"

#: Formats that are known by their suffix and not read, with the way round.
_NOT_READ = {
    **dict.fromkeys((".pt", ".pth", ".th", ".ckpt", ".safetensors", ".npz"), _WEIGHTS_ONLY),
}


def load(
    model: nn.Module | str | Path | Any,
    example_inputs: Any = None,
    *,
    weights: str | Path | None = None,
    input_shapes: Mapping[str, Any] | Sequence[str] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
    root: str | Path | None = None,
    name: str | None = None,
) -> Graph:
    """The graph of a network.

    Args:
        model: an ``nn.Module``, ``"package.module:callable"`` (returns a module, or a module and its example inputs), the path
            of a ``.pt2``, ``.onnx``, ``.tflite``, ``.keras``, ``.h5`` or ``.ekg`` file or of a SavedModel folder, or an
            exported program. docs/sources.md says what is read of each.
        example_inputs: a tuple of the positional arguments, one tensor, or a dict by parameter name; arrays will do. Their
            values do not matter, their shapes and types do. The batch (axis 0) may be 1.
        weights: a checkpoint to load first: torch (``weights_only``), safetensors or ``.npz``, recognised by content.
        input_shapes: in place of examples: ``["1,3,32,32", "ids=1,128:int64"]`` or ``{"x": (1, 3, 32, 32)}``.
        batch_axes: parameter name -> batch axis, None for an input without batch. Axis 0 of every input otherwise.
        root: the folder on sys.path for ``package.module:callable``; the current one by default.
        name: the graph's name.

    A module's parameters and buffers are shared with the graph; the module itself (mode, hooks, attributes) is left as it is.
    With ``weights``, a module that was given as an object is copied first.

    Raises:
        Unsupported: something in the model has no form in the graph; all such places in one error.
        InputError: the source, the weights or the examples are missing, damaged or do not fit.
    """
    with _fewer_collections():
        if isinstance(model, str | Path):
            return _load_named(str(model), example_inputs, weights, input_shapes, batch_axes, Path(root or Path.cwd()), name)
        return _load_object(model, example_inputs, weights, input_shapes, batch_axes, name, fresh=False)


@contextmanager
def _fewer_collections() -> Iterator[None]:
    """The first load imports 1,500 modules of torch, whose objects stay: looking for garbage among them costs a sixth of it."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], 50_000), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _load_named(
    model: str,
    example_inputs: Any,
    weights: str | Path | None,
    input_shapes: Mapping[str, Any] | Sequence[str] | None,
    batch_axes: Mapping[str, int | None] | None,
    root: Path,
    name: str | None,
) -> Graph:
    if is_reference(model) and not Path(model).exists():
        made = _from_reference(model, root)
        if isinstance(made, tuple):
            made, own_examples = made
            example_inputs = own_examples if example_inputs is None and not input_shapes else example_inputs
        with on_sys_path(root):  # forward may import on first use
            name = name or model.rpartition(":")[2].rpartition(".")[2]
            return _load_object(made, example_inputs, weights, input_shapes, batch_axes, name, fresh=True)
    path = Path(model)
    if not path.exists():
        raise _not_found(model, path)
    if path.suffix == ".ekg":
        from edgekit.ir.file import load as load_graph

        graph = load_graph(path)
    elif path.suffix == ".pt2":
        from edgekit.frontend.torch.program_file import consistent, load_program

        program = load_program(path)
        with consistent(path):
            return _load_object(program, example_inputs, weights, input_shapes, batch_axes, name or path.stem, fresh=True)
    elif path.suffix == ".onnx":
        from edgekit.frontend.onnx.load import graph_of_file as graph_of_onnx

        shapes = input_shapes or _shapes_of(example_inputs)
        graph = graph_of_onnx(path, name=name, input_shapes=shapes, batch_axes=batch_axes)
        graph.source = graph.source if weights is None else None
    elif path.suffix == ".tflite":
        from edgekit.frontend.tflite.load import graph_of_file

        graph = graph_of_file(path, name=name, input_shapes=input_shapes, batch_axes=batch_axes)
        graph.source = graph.source if weights is None else None
    elif path.suffix in (".keras", ".h5", ".hdf5") or (path / "saved_model.pb").is_file():
        from edgekit.frontend.keras.load import graph_of_keras

        graph = graph_of_keras(path, name=name, input_shapes=input_shapes, batch_axes=batch_axes)
        graph.source = graph.source if weights is None else None
    else:
        kind = "folders that are no SavedModel" if path.is_dir() else "files without a suffix"
        kind = f"'{path.suffix}' files" if path.suffix and not path.is_dir() else kind
        raise Unsupported(f"edgekit does not read {kind}", where=path, hint=_NOT_READ.get(path.suffix, f"MODEL is {SOURCES}"))
    return _finished(graph, weights)


def _shapes_of(examples: Any) -> list[str] | dict[str, tuple[int, ...]] | None:
    """The shapes of example inputs: by name, or in their order."""
    if examples is None:
        return None
    if isinstance(examples, Mapping):
        return {name: tuple(example.shape) for name, example in examples.items()}
    given = examples if isinstance(examples, tuple | list) else (examples,)
    return [",".join(map(str, example.shape)) for example in given]


def _load_object(
    model: Any,
    example_inputs: Any,
    weights: str | Path | None,
    input_shapes: Mapping[str, Any] | Sequence[str] | None,
    batch_axes: Mapping[str, int | None] | None,
    name: str | None,
    *,
    fresh: bool,
) -> Graph:
    """``fresh``: nobody else holds the model, so weights may be loaded into it."""
    from torch import nn
    from torch.export import ExportedProgram

    from edgekit.frontend.torch.load import graph_of_module, graph_of_program
    from edgekit.ir.graph import Graph
    from edgekit.ir.module import GraphModule

    model = _unwrapped(model)
    if isinstance(model, GraphModule):
        model = model.graph
    if isinstance(model, Graph):
        return _finished(model if weights is None else _own(model), weights)
    if isinstance(model, ExportedProgram):
        if batch_axes:
            raise InputError(
                "batch_axes does not go with an exported program",
                where=name or "model",
                hint="its batch was fixed by torch.export.export(dynamic_shapes=...)",
            )
        graph = _finished(graph_of_program(model, name or "model"), weights)
        graph.source = model.module() if weights is None else None
        return graph
    if not isinstance(model, nn.Module):
        raise InputError(f"a model of type '{type(model).__name__}'", where="model", hint=f"MODEL is {SOURCES}")
    notes: list[str] = []
    if weights is not None:
        from edgekit.frontend.weights import load_into, read_weights

        model = model if fresh else _copied(model)
        tensors, notes = read_weights(Path(weights), model.state_dict())
        notes += load_into(model, tensors, Path(weights))
    if example_inputs is None:
        from edgekit.frontend.input_shapes import examples_from_shapes

        example_inputs = examples_from_shapes(model, input_shapes)
    graph = graph_of_module(model, example_inputs, batch_axes=batch_axes, name=name)
    graph.notes[:0] = notes
    graph.source = model
    return graph


def _unwrapped(model: Any) -> Any:
    """What torch.compile, DataParallel and DistributedDataParallel were given.

    Raises:
        Unsupported: the module is TorchScript, which has no Python code to trace.
    """
    import torch
    from torch import nn

    if isinstance(model, torch.jit.ScriptModule):
        raise Unsupported(
            "a TorchScript module cannot be traced", where=type(model).__name__, hint="load the nn.Module that it was made from"
        )
    while isinstance(model, nn.Module):
        if type(model).__name__ == "OptimizedModule" and hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            break
    return model


def _from_reference(text: str, root: Path) -> Any:
    """What ``package.module:callable`` makes: a model, or a model and its example inputs.

    Raises:
        InputError: no such module or name, it raises, or it returns something else.
    """
    from torch import nn
    from torch.export import ExportedProgram

    from edgekit.ir.graph import Graph

    found = load_reference(text, root)
    models = (nn.Module, ExportedProgram, Graph)
    if not isinstance(found, models):
        if not callable(found):
            raise InputError(f"'{text}' is a {type(found).__name__}, not a callable", where=text, hint=f"MODEL is {SOURCES}")
        _check_no_arguments(found, text)
        found = call(found, what=f"'{text}'", root=root)
    if isinstance(found, models) or (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], nn.Module)):
        return found
    shown = f"a tuple of {len(found)}" if isinstance(found, tuple) else type(found).__name__
    raise InputError(
        f"'{text}' returned {shown}, not a model", where=text, hint="return an nn.Module, or (module, example_inputs)"
    )


def _check_no_arguments(function: Any, text: str) -> None:
    """The callable is called without arguments."""
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise InputError(
            f"'{text}' cannot be called without arguments: {error}",
            where=text,
            hint="name a function that builds the model by itself",
        ) from None
    except ValueError:  # no signature to read
        return


def _not_found(model: str, path: Path) -> EdgekitError:
    hint = f"MODEL is {SOURCES}"
    nearby = path.parent.iterdir() if path.suffix and path.parent.is_dir() else ()
    alike = [other.name for other in nearby if other.suffix == path.suffix]
    parts = path.name.split(".")
    if alike:
        hint = did_you_mean(path.name, alike)
    elif len(parts) > 1 and all(part.isidentifier() for part in parts) and _is_module(path.parent / parts[0]):
        # a dot in the place of the colon
        hint = f"did you mean '{'.'.join(parts[:-1])}:{parts[-1]}'? {hint}"
    return InputError(f"there is no '{model}'", where=path.parent.resolve(), hint=hint)


def _is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()


def _finished(graph: Graph, weights: str | Path | None) -> Graph:
    """Weights into a graph that came from a file."""
    if weights is not None:
        from edgekit.frontend.weights import load_into, read_weights

        module = graph.module()
        tensors, notes = read_weights(Path(weights), module.state_dict())
        graph.notes += [*notes, *load_into(module, tensors, Path(weights))]
    return graph


def _own(graph: Graph) -> Graph:
    import copy

    return copy.deepcopy(graph)


def _copied(module: nn.Module) -> nn.Module:
    import copy

    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise InputError(
            f"weights go into a copy of the module, which cannot be copied: {error}",
            where=type(module).__name__,
            hint="load them with module.load_state_dict first",
        ) from error
