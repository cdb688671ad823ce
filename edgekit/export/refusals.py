"""All that a model asks of a target in vain, in one error, so that nobody meets the problems one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgekit.errors import EdgekitError, Unsupported
from edgekit.ir.graph import Node
from edgekit.ir.types import where_text


def place_of(node: Node) -> str:
    """Where a node comes from in the user's model, or its name where that is not known."""
    return where_text(node.where) if node.where else f"%{node.name} ({node.op.name})"


class Refusals:
    """Collects Unsupported errors with their places in the user's model."""

    def __init__(self) -> None:
        self._errors: list[Unsupported] = []

    @contextmanager
    def at(self, place: Node | str) -> Iterator[None]:
        """Whatever is refused in this block is kept for later, with its place: a node's in the user's model, or a text.

        Errors of another kind (a weight that is NaN) get their place and are raised at once.
        """
        try:
            yield
        except EdgekitError as error:
            if error.where is None:
                error.where = place if isinstance(place, str) else place_of(place)
            if not isinstance(error, Unsupported):
                raise
            self._errors.append(error)

    def __bool__(self) -> bool:
        return bool(self._errors)

    def raise_if_any(self, what: str) -> None:
        """Raises what was collected: a single error as it is, several as one whose places say what is wrong there.

        Args:
            what: the headline for several, with ``{count}`` in it.
        """
        if not self._errors:
            return
        places = list(dict.fromkeys(f"{error.where}: {error.what}" for error in self._errors))
        if len(places) == 1:
            raise self._errors[0]
        hints = list(dict.fromkeys(error.hint for error in self._errors if error.hint))
        raise Unsupported(what.format(count=len(places)), where="\n".join(places), hint="\n".join(hints) or None)
