"""The compression step ``teacher_assistant``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import takes_a_graph
from edgekit.train.distillation.settings import SOURCE, Distillation
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph

_PLAIN = Distillation()


@dataclass(frozen=True)
class TeacherAssistant(Training):
    """Distils through networks of a size in between, where the student is much smaller than its teacher.

    The source teaches the first assistant, each assistant the next one, and the last one the graph. Choose assistants by
    accuracy between the two, not by layers. Source: Mirzadeh et al. 2020, "Improved knowledge distillation via teacher
    assistant", arXiv:1902.03393.

    Attributes:
        assistants: in order, each a network (path or ``package.module:callable``) or a step that makes it from the source, such
            as ``Prune(macs=0.75)`` or, in a recipe, ``{ step = "prune", macs = 0.75 }``.
        distillation: how each learns from the one before.
    """

    assistants: tuple[object, ...] = ()
    distillation: Distillation = _PLAIN

    def __post_init__(self) -> None:
        from edgekit.compress.steps import Step, parse_step

        super().__post_init__()
        own, hint = Fields("teacher_assistant"), 'assistants = [{ step = "prune", macs = 0.75 }], or a network between the two'
        if isinstance(self.assistants, str | Mapping) or not self.assistants:
            raise own.refusal("assistants", "'assistants' is a list of one or more networks or steps", hint)
        made = []
        for number, item in enumerate(self.assistants, 1):
            place = f"teacher_assistant: assistants[{number}]"
            made.append(parse_step(item, place) if isinstance(item, Mapping) else item)
            if not isinstance(made[-1], str) and (isinstance(made[-1], type) or not isinstance(made[-1], Step)):
                raise own.refusal(f"assistants[{number}]", f"an assistant is a network or a step, not {item!r}", hint)
        object.__setattr__(self, "assistants", tuple(made))
        if self.distillation.teachers != (SOURCE,):
            raise own.refusal("teachers", "an assistant's teacher is the one before", 'leave teachers at ["source"]')

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A trained copy whose history has one record more, with the assistants' curves.

        Args:
            graph: the student; is left as it is.
            data: an ``edgekit.Data`` with ``train``, or what may stand for that.
            context: of the recipe; has the source, which is the first teacher.

        Raises:
            UsageError: no source, no data, or a loss that became NaN.
            InputError, Unsupported: data or an assistant that does not fit.
        """
        from edgekit.compress.distill.application import teacher_assistant

        return teacher_assistant(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        from edgekit.compress.steps import Step, step_name

        given = super().options()
        given["assistants"] = [
            {"step": step_name(item), **item.options()} if isinstance(item, Step) else item for item in self.assistants
        ]
        if self.distillation != _PLAIN:
            given["distillation"] = self.distillation.options()
        return given
