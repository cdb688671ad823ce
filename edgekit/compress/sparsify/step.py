"""The compression step ``sparsify``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import options_of, take_tables, takes_a_graph
from edgekit.train.distillation.settings import Distillation
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph

_OWN = Fields("sparsify")


@dataclass(frozen=True)
class Sparsify:
    """Sets the weights of least magnitude to zero, and keeps them there while the others are trained.

    Shapes stay, and so do MACs, latency and memory: the kernels multiply zeros like any number. What it gains is a file
    that compresses better. Biases, norms and tables of embeddings are never touched.

    Attributes:
        sparsity: share of the weights that are zero at the end, from 0 to below 1.
        initial: share from which the schedule rises.
        scope: weights are ranked within their layer ("layer"), so that each has the same share, or over all ("global").
        rounds: the share after round t of n is s + (initial - s) * (1 - t/n)^3 (Zhu & Gupta, arXiv:1710.01878, eq. 1).
        epochs: of the training after each round.
        training: its other settings; those of ``Training`` by default, and its ``epochs`` do not count.
        distillation: of these trainings.
        neighbours: how much the weights around count, in the kernel of a 2-D convolution and in the image that a linear layer
            reads: of a layer's weights those of least |w| * m^neighbours go, with m the mean magnitude of the 3 x 3 around,
            and as many as without. Zeros then stand together and take fewer bytes; 0: each weight for itself.
        layers: weights or modules, by name or pattern (``layer3.*``), to make sparse; all if empty.
        keep: those to leave.
    """

    sparsity: float
    initial: float = 0.0
    scope: str = "layer"
    rounds: int = 1
    epochs: int = 0
    training: Training | None = None
    distillation: Distillation | None = None
    neighbours: float = 0.0
    layers: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        take_tables(self, "sparsify")
        means = "the share of weights that are zero, from 0 to below 1"
        _OWN.number("sparsity", self.sparsity, means, "sparsity = 0.9", least=0, below=1)
        means = f"a share from 0 to 'sparsity' ({self.sparsity})"
        _OWN.number("initial", self.initial, means, "initial = 0.0", least=0, most=self.sparsity)
        _OWN.word("scope", self.scope, ("layer", "global"))
        _OWN.whole("rounds", self.rounds, 1, "rounds = 6")
        _OWN.whole("epochs", self.epochs, 0, "epochs = 2")
        _OWN.number("neighbours", self.neighbours, "an exponent of 0 or above", "neighbours = 1.0", least=0)
        _OWN.names("layers", self.layers)
        _OWN.names("keep", self.keep)
        _OWN.training(self, self.epochs, ("training", "distillation"), "after each round")

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A copy with zeros whose history has one record more: its ``details`` have the zeros of each layer.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` (or what may stand for its training part), where it trains.
            context: of the recipe.

        Raises:
            UsageError: a name that is no weight's, no weights at all, no data to train with, or a loss that became NaN.
            InputError: data or teacher does not fit.
            Unsupported: the graph is quantised.
        """
        from edgekit.compress.sparsify.application import sparsify

        return sparsify(self, graph, data, context or Context())

    def share(self, number: int) -> float:
        """The share of zeros after a round, counted from 1: see ``rounds``."""
        return self.sparsity + (self.initial - self.sparsity) * (1 - number / self.rounds) ** 3

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return options_of(self)
