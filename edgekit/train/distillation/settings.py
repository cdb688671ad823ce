"""How a student is distilled: plain data, checked when it is written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields

if TYPE_CHECKING:
    from torch import nn

    from edgekit.ir.graph import Graph
    from edgekit.train.distillation.objective import DistillationObjective
    from edgekit.train.settings import Training

#: Losses of features -> their weight where none is given, that of github.com/HobbitLong/RepDistiller (relational losses: of
#: their paper). A weight of one loss says nothing about another's: their sizes differ by orders of magnitude.
FEATURE_LOSSES: dict[str, float] = {
    "hint": 100.0,
    "attention": 1000.0,
    "relational": 1.0,
    "relational_distance": 25.0,
    "relational_angle": 50.0,
    "similarity": 3000.0,
}
MEANS = ("arithmetic", "geometric")
KINDS = ("auto", "classes", "binary", "numbers")

#: The teacher that stands for the network before it was compressed.
SOURCE = "source"


@dataclass(frozen=True)
class Hint:
    """One value inside the student that learns from one inside a teacher.

    Attributes:
        student: name of the value in the student's graph (`edgekit inspect` lists them), such as ``"layer3.2"``.
        teacher: name in the teacher's graph, or of a submodule where the teacher is an ``nn.Module``; "": the student's.
        loss: "hint" (FitNet, through a regressor that is discarded afterwards), "attention", "relational",
            "relational_distance", "relational_angle" or "similarity".
        weight: None: the loss's own (``FEATURE_LOSSES``).
        of: which of the teachers, from 0.
        channels: axis of the channels, for "hint" and "attention".

    Raises:
        UsageError: a field that can't be.
    """

    student: str
    teacher: str = ""
    loss: str = "attention"
    weight: float | None = None
    of: int = 0
    channels: int = 1

    def __post_init__(self) -> None:
        own, hint = Fields("features"), 'student = "layer3.2"; `edgekit inspect` lists them'
        if not isinstance(self.student, str) or not self.student:
            raise own.refusal("student", "a hint names a value of the student", hint)
        own.word("loss", self.loss, tuple(FEATURE_LOSSES), "loss of features")
        own.number("weight", self.weight, "above 0", "weight = 1.0, or none for the loss's own", above=0, optional=True)
        own.whole("of", self.of, 0, "of = 0 is the first teacher", means="a number that counts the teachers from 0")
        own.whole("channels", self.channels, 0, "channels = 1", means="the axis of the channels, from 0")

    @property
    def name(self) -> str:
        """Of its term in the curve of the training."""
        return f"{self.loss}:{self.student}"


@dataclass(frozen=True)
class Distillation:
    """A student that learns from the predictions, and the inner values, of teachers.

    The training minimises (1 - alpha) * task + alpha * T^2 * KL(teachers || student) + the weighted losses of ``features``.
    Samples without label (integer label -100) have no part in the task's loss and their full part in all others; with
    alpha = 1 no labels are needed at all.

    Attributes:
        temperature: T of the soft targets, above 0. Higher ones show more of how the teacher ranks the wrong classes; small
            students want lower ones.
        alpha: share of the soft targets, from 0 (features alone) to 1 (no labels).
        teachers: "source" (the network before compression), paths of ``.ekg`` or ``.pt2`` files, or
            ``package.module:callable``; several are an ensemble. A checkpoint to load goes behind a "@":
            ``"net:build@weights.pth"``.
        mean: of an ensemble: of its softened probabilities ("arithmetic") or of its logits ("geometric").
        features: values inside the two networks that are compared.
        hint_epochs: so many epochs at the start minimise the losses "hint" alone, which are then left out (the two stages of
            FitNets); 0: they are minimised along with the rest from first to last.
        kind: of the outputs: "classes" (one of several, a softmax), "binary" (each element a yes or no, a sigmoid), "numbers"
            (regression: mean squared difference to the teacher, without temperature); "auto": as the graph ends, else as
            the task's loss.

    Raises:
        UsageError: a field that can't be.
    """

    temperature: float = 4.0
    alpha: float = 0.9
    teachers: tuple[str, ...] = (SOURCE,)
    mean: str = "arithmetic"
    features: tuple[Hint, ...] = ()
    hint_epochs: int = 0
    kind: str = "auto"

    def __post_init__(self) -> None:
        own = Fields("distillation")
        own.number("temperature", self.temperature, "above 0", "2 to 5 for small students, up to 20", above=0)
        own.number("alpha", self.alpha, "a share from 0 to 1", "alpha = 0.9", least=0, most=1)
        own.word("mean", self.mean, MEANS)
        own.word("kind", self.kind, KINDS)
        if isinstance(self.teachers, str) or not self.teachers:
            raise own.refusal(
                "teachers", f"'teachers' is a list of at least one, not {self.teachers!r}", 'teachers = ["source"]'
            )
        if self.alpha == 0 and not self.features:
            raise own.refusal("alpha", "nothing is distilled: alpha is 0 and there are no features", "alpha = 0.9")
        own.whole("hint_epochs", self.hint_epochs, 0, "hint_epochs = 2")
        if self.hint_epochs and not any(feature.loss == "hint" for feature in self.features):
            hint = 'features = [{ student = "layer2.2", loss = "hint" }]'
            raise own.refusal("hint_epochs", "'hint_epochs' without a hint", hint)
        for feature in self.features:
            if feature.of >= len(self.teachers):
                raise own.refusal(
                    "features",
                    f"the hint on '{feature.student}' is of teacher {feature.of}, and there are {len(self.teachers)}",
                    "'of' counts the teachers from 0",
                )

    def weight_of(self, feature: Hint) -> float:
        """The weight of a feature's loss. A hint that is minimised alone has weight 1: there is nothing to weigh it against."""
        if feature.weight is not None:
            return feature.weight
        return 1.0 if feature.loss == "hint" and self.hint_epochs else FEATURE_LOSSES[feature.loss]

    def objective(
        self,
        student: Graph,
        teachers: Sequence[Graph | nn.Module],
        training: Training | None = None,
        *,
        root: Path | None = None,
    ) -> DistillationObjective:
        """What a training minimises that distils into this graph.

        Args:
            student: the graph that is trained, or one of its form.
            teachers: in the order of ``self.teachers``; are copied, and left as they are.
            training: whose loss is the task's, and whose seed is the regressors'.
            root: folder that a callable is imported from.

        Raises:
            UsageError: another number of teachers, or a feature's name that does not exist; the nearest is named.
            InputError: a teacher does not fit the student's inputs or outputs.
            Unsupported: outputs that have no soft targets, or features that the loss can't compare.
        """
        from edgekit.train.distillation.objective import DistillationObjective
        from edgekit.train.settings import Training

        return DistillationObjective(self, student, teachers, training or Training(), root=root)

    def options(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as plain data."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}
        if "teachers" in given:
            given["teachers"] = list(self.teachers)
        if "features" in given:
            given["features"] = [
                {f.name: value for f in dataclasses.fields(Hint) if (value := getattr(hint, f.name)) != f.default}
                for hint in self.features
            ]
        return given
