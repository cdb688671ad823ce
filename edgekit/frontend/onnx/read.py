"""The bytes of an ``.onnx`` file as a checked protobuf. Nothing in a file is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import InputError, Unsupported, UsageError

#: Lowest opset of ai.onnx that is read. Older operators have other attributes and other defaults.
LOWEST_OPSET = 6
_AGAIN = "copy or download the file again"
_DOMAINS = ("", "ai.onnx")


def read_model(path: Path) -> Any:
    """The ``ModelProto`` of a file.

    Raises:
        InputError: it can't be read, or is no ONNX file, or a damaged one.
        Unsupported: it is of a version that edgekit or the installed package onnx does not know.
        UsageError: the package onnx is not installed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}", where=path) from error
    return parse_model(data, str(path))


def parse_model(data: bytes, where: str) -> Any:
    """Like ``read_model`` from bytes; ``where`` is their name in errors."""
    try:
        import onnx
    except ImportError as error:
        raise UsageError(
            "reading an .onnx file needs the package 'onnx'", where=where, hint='pip install "edgekit[build]"'
        ) from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's error class depends on its backend
        raise InputError(f"this is not an ONNX file, or it is damaged: {error}", where=where, hint=_AGAIN) from error
    if not model.graph.node and not model.graph.output:
        raise InputError("this is not an ONNX file: it has no graph", where=where, hint=_AGAIN)
    _check_versions(model, where, onnx.IR_VERSION, onnx.defs.onnx_opset_version())
    return model


def opset_of(model: Any) -> int:
    """The version of ai.onnx's operators that a model uses; 0 where it names none."""
    return next((int(o.version) for o in model.opset_import if o.domain in _DOMAINS), 0)


def _check_versions(model: Any, where: str, newest_format: int, newest_opset: int) -> None:
    if model.ir_version > newest_format:
        raise Unsupported(
            f"the file is of ONNX's format version {model.ir_version}; the installed package onnx knows versions up to "
            f"{newest_format}",
            where=where,
            hint="pip install --upgrade onnx, or write the file with an older version",
        )
    opset = opset_of(model)
    if not opset and any(node.domain in _DOMAINS for node in model.graph.node):
        raise InputError("the file does not say which opset of ONNX's operators it uses", where=where, hint=_AGAIN)
    if opset and not LOWEST_OPSET <= opset <= newest_opset:
        hint = (
            "onnx.version_converter.convert_version(model, 13) writes it newer"
            if opset < LOWEST_OPSET
            else "pip install --upgrade onnx, or export with opset_version=17"
        )
        raise Unsupported(f"opset {opset} is not read: {LOWEST_OPSET} to {newest_opset} are", where=where, hint=hint)


def in_order(nodes: Any, known: set[str], where: str) -> Iterator[Any]:
    """Nodes so that each follows what it reads; those of a correct file come as they stand.

    Args:
        nodes: ``NodeProto`` of one graph.
        known: names that are there before the first node.
        where: the file, for errors.

    Raises:
        InputError: a name has two producers or none, or nodes wait for each other.
    """
    nodes = list(nodes)
    _check_texts(nodes, where)
    made_by: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.output:
            if name and (name in known or name in made_by):
                raise InputError(f"'{name}' is computed twice", where=f"{where}: {node.op_type} '{node.name}'", hint=_AGAIN)
            made_by[name] = index
    made_by.pop("", None)
    waits = [0] * len(nodes)
    readers: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        needs = set()
        for name in reads(node):
            if name in made_by:
                needs.add(made_by[name])
            elif name not in known:
                raise InputError(
                    f"'{name}' is read and nothing computes it", where=f"{where}: {node.op_type} '{node.name}'", hint=_AGAIN
                )
        waits[index] = len(needs)
        for need in needs:
            readers.setdefault(need, []).append(index)
    ready = [index for index in range(len(nodes)) if not waits[index]]
    done = 0
    while ready:
        ready.sort(reverse=True)
        index = ready.pop()
        done += 1
        yield nodes[index]
        for reader in readers.get(index, ()):
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    if done < len(nodes):
        stuck = next(nodes[index] for index in range(len(nodes)) if waits[index])
        raise InputError(
            "nodes of the graph wait for each other in a circle", where=f"{where}: {stuck.op_type} '{stuck.name}'", hint=_AGAIN
        )


def _check_texts(nodes: list[Any], where: str) -> None:
    """protobuf gives the bytes of a text that is no UTF-8."""
    for node in nodes:
        texts = (node.op_type, node.name, node.domain, *node.input, *node.output, *(a.name for a in node.attribute))
        if not all(isinstance(text, str) for text in texts):
            raise InputError("a name in the file is no UTF-8", where=where, hint=_AGAIN)


def reads(node: Any) -> Iterator[str]:
    """Names that a node reads from its graph, those that its inner graphs read from outside included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            own = {value.name for value in inner.input} | {tensor.name for tensor in inner.initializer}
            own |= {name for inside in inner.node for name in inside.output}
            yield from (name for inside in inner.node for name in reads(inside) if name not in own)
            yield from (value.name for value in inner.output if value.name not in own)
