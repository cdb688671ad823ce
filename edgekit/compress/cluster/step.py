"""The compression step ``cluster``."""

from __future__ import annotations

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

SCOPES = ("layer", "channel")
ASSIGNMENTS = ("fixed", "trained")
GRIDS = ("float", "int8")

#: Codebooks of more values are none: nothing is gained over storing the weights.
MOST_BITS = 8


@dataclass(frozen=True)
class Cluster:
    """Gives the weights of a layer at most 2^bits different values, and trains these values.

    Weight sharing as in Deep Compression (arXiv:1510.00149): k-means from centroids that stand evenly between the smallest and
    the largest weight; in training the gradient of a centroid is the sum of its members' gradients. Zeros belong to no cluster
    and stay zero, so that what was pruned stays pruned. Shapes, MACs, latency and memory stay: what gains is a file that is
    packed for delivery (``edgekit pack``). Batch norms are folded first, because folding later would multiply every channel's
    values by another factor.

    Attributes:
        bits: of an index, from 1 to 8.
        layers: bits for weights (or modules, by the start of the name); what is not named has ``bits``.
        keep: weights to leave as they are, named likewise.
        scope: one codebook for a layer ("layer") or for each of its output channels ("channel").
        grid: "float"; or "int8": the values are multiples of 1/127 of the largest weight of each output channel, the same
            ones in all channels, so that 8-bit weights with a scale for each channel have no more values either.
        biases: bits for the biases of these layers; 0 leaves them.
        significant: binary digits of a value on the grid "float", of a channel's scale on the grid "int8", from 4 to 24;
            fewer take fewer bytes in a file that is packed.
        assignment: in the training, a weight keeps the value that k-means gave it ("fixed"), or moves to another one as a free
            weight behind it moves, which learns by the straight-through gradient ("trained").
        epochs: of the training of the values; 0: they stay as k-means leaves them.
        training: its other settings; Adam with lr = 1e-4 and no weight decay by default. Its ``epochs`` do not count.
        distillation: of this training.
    """

    bits: int = 4
    layers: Mapping[str, int] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    scope: str = "layer"
    grid: str = "float"
    biases: int = 0
    significant: int = 11
    assignment: str = "fixed"
    epochs: int = 0
    training: Training | None = None
    distillation: Distillation | None = None

    def __post_init__(self) -> None:
        take_tables(self, "cluster")
        own = Fields("cluster")
        if not isinstance(self.layers, Mapping):
            raise own.refusal("layers", f"'layers' is a table, not {self.layers!r}", 'layers = { "fc1" = 5 }')
        for name, bits in {"bits": self.bits, **self.layers}.items():
            means = f"a whole number of bits from 1 to {MOST_BITS}"
            own.whole(name, bits, 1, "bits = 4, or layers = { fc1 = 5 }", most=MOST_BITS, means=means)
        own.word("scope", self.scope, SCOPES)
        own.word("grid", self.grid, GRIDS)
        own.whole("biases", self.biases, 0, "biases = 8", most=MOST_BITS, means=f"a number of bits from 0 to {MOST_BITS}")
        means = "a number of binary digits from 4 to 24"
        own.whole("significant", self.significant, 4, "significant = 11", most=24, means=means)
        own.word("assignment", self.assignment, ASSIGNMENTS)
        own.whole("epochs", self.epochs, 0, "epochs = 1")
        if self.assignment == "trained" and not self.epochs:
            raise own.refusal("assignment", "nothing trains which value a weight has: 'epochs' is 0", "epochs = 4")
        if self.assignment == "trained" and (self.scope, self.grid) != ("layer", "float"):
            what = "weights move between the values of a whole layer, and none has to stay at an end of an integer grid"
            raise own.refusal("assignment", what, 'assignment = "fixed", or scope = "layer" and grid = "float"')
        own.names("keep", self.keep)
        own.training(self, self.epochs, ("training", "distillation"), "of the values", "epochs = 1")

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A copy whose weights have few values and whose history has one record more: its ``details`` have the codebooks.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` (or what may stand for its training part), where it trains.
            context: of the recipe.

        Raises:
            UsageError: a name that is no weight's, no weights at all, no data to train with, or a loss that became NaN.
            InputError: data or teacher does not fit.
            Unsupported: the graph is quantised.
        """
        from edgekit.compress.cluster.application import cluster

        return cluster(self, graph, data, context or Context())

    def settings(self) -> Training:
        """Of the training of the values."""
        from dataclasses import replace

        return replace(self.training or Training(optimizer="adam", lr=1e-4, weight_decay=0.0), epochs=self.epochs)

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        default = Cluster()
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found = {name: value for name, value in given.items() if value != getattr(default, name)}
        return {name: dict(value) if isinstance(value, Mapping) else plain(value) for name, value in found.items()}
