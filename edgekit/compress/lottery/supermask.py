"""The compression step ``supermask``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import options_of, take_tables, takes_a_graph
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph

METHODS = ("bernoulli", "top_k")
WEIGHTS = ("initial", "signed_constant", "shared")

#: Values that all connections share while their mask is learned.
SHARED = (0.5, 1.0, 2.0)

#: How scores are trained where nothing else is said: they do not decay, and logits of probabilities have far to go.
SCORES = {
    "bernoulli": Training(optimizer="adam", lr=0.1, weight_decay=0.0),
    "top_k": Training(optimizer="adam", lr=1e-3, weight_decay=0.0),
}


@dataclass(frozen=True)
class Supermask:
    """Learns which weights of an untrained network to keep, and never changes one: a network found by leaving out.

    Zhou et al. 2019 (arXiv:1905.01067) and Ramanujan et al. 2020 (arXiv:1911.13299); with ``weights = "shared"`` all
    connections have one value, as in Gaier & Ha 2019 (arXiv:1906.04358). Biases of layers are zero. It makes no kernel faster:
    it is an experiment.

    Attributes:
        method: "bernoulli": each weight lives with a learned probability, and in the end where that is above one half; "top_k":
            those with the largest learned scores live.
        sparsity: share of zeros of each layer, with "top_k" (0.5 there by default).
        weights: "initial"; "signed_constant": their signs times the standard deviation of the layer's; "shared": one value.
        shared: with "shared": values in units of 1 / sqrt(fan_in), so that sums keep their size. One is drawn at every training
            step, so the mask has to work with all of them.
        rescale: what lives grows by as much as what is left out is missed.
        epochs: of the training of scores.
        training: its other settings; Adam at 0.1 ("top_k": 0.001) without decay by default, and its ``epochs`` do not count.
        fresh: the weights are drawn anew by ``seed``; otherwise they are what the given graph has: an untrained one.
        seed: of weights and of the scores' first values.
        layers: weights (or modules, by the start of the name) to mask; all if empty.
        keep: those to leave.
    """

    method: str = "bernoulli"
    sparsity: float | None = None
    weights: str = "initial"
    shared: tuple[float, ...] = SHARED
    rescale: bool = True
    epochs: int = 10
    training: Training | None = None
    fresh: bool = True
    seed: int = 0
    layers: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        take_tables(self, "supermask")
        own = Fields("supermask")
        own.word("method", self.method, METHODS)
        own.word("weights", self.weights, WEIGHTS)
        if self.sparsity is not None and self.method != "top_k":
            hint = 'method = "top_k" keeps a given share'
            raise own.refusal("sparsity", "'sparsity' is learned with probabilities", hint)
        means = "the share of weights that are zero, above 0 to below 1"
        own.number("sparsity", self.sparsity, means, "sparsity = 0.5", above=0, below=1, optional=True)
        own.whole("epochs", self.epochs, 1, "epochs = 10")
        own.whole("seed", self.seed, 0, "seed = 1")
        is_list = isinstance(self.shared, tuple | list) and len(self.shared) > 0
        if not is_list or not all(isinstance(x, int | float) and math.isfinite(x) and x for x in self.shared):
            what = f"'shared' are numbers other than 0, not {self.shared!r}"
            raise own.refusal("shared", what, "shared = [0.5, 1.0, 2.0]")
        if self.shared != SHARED and self.weights != "shared":
            raise own.refusal("shared", "'shared' are the values of one weight", 'weights = "shared"')
        own.names("layers", self.layers)
        own.names("keep", self.keep)

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """The untrained network under the learned mask; its record's ``details`` have it beside the one without a mask.

        With one shared value also: the metrics at every value of the series, of the ensemble of all of them, and at the value
        that was tuned on the part held out, which the result has.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` with ``train``, and ``evaluate`` for the metrics.
            context: of the recipe.

        Raises:
            UsageError: a name that is no weight's, no data, or a loss that became NaN.
            InputError: data that does not fit.
            Unsupported: the graph is quantised.
        """
        from edgekit.compress.lottery.masking import supermask

        return supermask(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return options_of(self)
