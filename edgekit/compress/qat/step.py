"""The compression step ``qat``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import plain, take_tables, takes_a_graph
from edgekit.train.distillation.settings import Distillation
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph

#: Types that weights are trained in.
WEIGHTS = ("int8", "int4", "int2")
RUNTIMES = ("litert", "tflite-micro", "onnxruntime")
_STARTS = ("auto", "lsq", "max", "mse")
_OBSERVERS = ("output_error", "min_max", "percentile", "mse")

#: How it is trained where nothing is said: gently, because the network is trained already.
TRAINING = Training(optimizer="sgd", lr=0.01)


@dataclass(frozen=True)
class QAT:
    """Trains the graph with rounded weights and activations; what comes out is quantised.

    Calibration quantises it first. Then the steps of all grids are learned along with the weights (LSQ, arXiv:1902.08153),
    while batch norms learn too; for the last part they are folded, and training goes on with exactly what is exported.

    Attributes:
        weights: "int8", "int4" or "int2", of convolutions that are not depthwise and of linear layers; all other weights, and
            activations, have 8 bits.
        layers: by name of a weight or module, the type of its weights where it differs.
        edges: layers that read the model's input or give its output keep 8 bits.
        epochs: of the whole training.
        freeze: share of the epochs, at the end, in which batch norms are folded; from 0 to 1.
        frozen_lr: learning rate of that part, as a share of the training's.
        training: other settings; stochastic gradient descent with lr = 0.01 by default, and its ``epochs`` do not count.
        distillation: such as from the network before compression.
        start: of the weights' steps: "lsq" (2 mean|w| / sqrt(Q_P)), "max", "mse", or "auto": "lsq" below 8 bits, else "max".
        observer: chooses the ranges of activations that training starts from.
        calibration: samples that these are taken of, at most.
        runtime: whose integer kernels it is for: "litert", "tflite-micro" or "onnxruntime".
    """

    weights: str = "int8"
    layers: Mapping[str, str] = field(default_factory=dict)
    edges: bool = True
    epochs: int = 5
    freeze: float = 0.3
    frozen_lr: float = 0.2
    training: Training | None = None
    distillation: Distillation | None = None
    start: str = "auto"
    observer: str = "output_error"
    calibration: int = 256
    runtime: str = "litert"

    def __post_init__(self) -> None:
        take_tables(self, "qat")
        own = Fields("qat")
        choices = {"weights": WEIGHTS, "start": _STARTS, "observer": _OBSERVERS, "runtime": RUNTIMES}
        for name, known in choices.items():
            own.word(name, getattr(self, name), known)
        if not isinstance(self.layers, Mapping):
            raise own.refusal("layers", f"'layers' is a table, not {self.layers!r}", 'layers = { "fc1" = "int4" }')
        for name, value in self.layers.items():
            own.word("layers", value, WEIGHTS, f"type of the weights of '{name}':")
        own.whole("epochs", self.epochs, 0, "epochs = 5")
        own.number("freeze", self.freeze, "a share from 0 to 1", "freeze = 0.3", least=0, most=1)
        own.number("frozen_lr", self.frozen_lr, "above 0", "frozen_lr = 0.2", above=0)
        own.whole("calibration", self.calibration, 1, "calibration = 256", means="a number of samples, whole and from 1")

    @property
    def frozen_epochs(self) -> int:
        """Epochs with folded batch norms: ``freeze`` of all, rounded, and at least one of two or more."""
        if self.freeze == 0 or self.epochs < 2:
            return self.epochs if self.freeze == 1 else 0
        return min(max(round(self.freeze * self.epochs), 1), self.epochs)

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A quantised copy whose history has one record more.

        Its ``details`` have the metrics before the training ("start"), the curves, and the scales before and after.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` (or what may stand for its training part).
            context: of the recipe.

        Raises:
            UsageError: no data, a name in ``layers`` that is no layer's, nothing to train, or a loss that became NaN.
            InputError: data or teacher does not fit.
            Unsupported: the graph is quantised already, or the runtime has no integers for some op.
        """
        from edgekit.compress.qat.application import train_quantized

        return train_quantized(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        defaults = {field.name: field.default for field in dataclasses.fields(self)} | {"layers": {}}
        return {name: plain(value) for name, value in found.items() if value != defaults[name]}
