"""Attributes of nodes as Python data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError, Unsupported
from edgekit.frontend.onnx.tensors import read_tensor

#: AttributeProto.AttributeType of the forms that no lowering takes.
_FORMS = {9: "tensors", 10: "graphs", 11: "sparse_tensor", 12: "sparse_tensors", 13: "type_proto", 14: "type_protos"}


def read_attributes(node: Any, folder: Path | None, where: str) -> dict[str, Any]:
    """Name -> float, int, str, tensor, ``GraphProto``, or a tuple of numbers or texts.

    Raises:
        InputError: a text is no UTF-8, or a name stands twice.
        Unsupported: an attribute of another form (sparse tensors, types).
    """
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.name in found:
            raise InputError(f"the attribute '{attribute.name}' stands twice", where=where)
        found[attribute.name] = _value(attribute, folder, where)
    return found


def _value(attribute: Any, folder: Path | None, where: str) -> Any:
    match attribute.type:  # AttributeProto.AttributeType
        case 1:
            return _shortest(attribute.f)
        case 2:
            return int(attribute.i)
        case 3:
            return _text(attribute.s, where)
        case 4:
            return read_tensor(attribute.t, folder, where)
        case 5:
            return attribute.g
        case 6:
            return tuple(_shortest(x) for x in attribute.floats)
        case 7:
            return tuple(int(x) for x in attribute.ints)
        case 8:
            return tuple(_text(x, where) for x in attribute.strings)
    form = _FORMS.get(attribute.type, f"form {attribute.type}")
    raise Unsupported(f"the attribute '{attribute.name}' is of the form '{form}'", where=where)


def _shortest(number: float) -> float:
    """The shortest decimal that is this number in 32 bits: 1e-05 and not 9.999999747378752e-06."""
    return float(str(np.float32(number)))


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InputError("a text in an attribute is no UTF-8", where=where, hint="copy or download the file again") from None
