"""The compression step ``binarize``."""

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

METHODS = ("binary_connect", "bnn", "xnor_net", "react_net")
GRADIENTS = ("clip", "polynomial")

#: How it is trained where nothing is said: weights that are only signs take the steps of Adam, and never decay.
TRAINING = Training(optimizer="adam", lr=1e-3, weight_decay=0.0)


@dataclass(frozen=True)
class Binarize:
    """Trains layers whose weights are +1 or -1, with latent real weights behind them; they come out exactly so.

    The latent weights are clipped to [-1, 1] after every step and do not decay; the sign of 0 is +1. The padding of a
    convolution stays zero: such a tap adds nothing to the sum, in training as in every export. First and last layers stay as
    they are.

    Attributes:
        method: "binary_connect" (weights alone; arXiv:1511.00363), "bnn" (activations too, in the place of the network's own
            activations; arXiv:1602.02830), "xnor_net" (also a scale for every filter, and the order of the layers pool, norm,
            sign, convolution; arXiv:1603.05279) or "react_net" (also a learned threshold before every sign, and activations
            with learned shifts; arXiv:2003.03488).
        stochastic: weights are drawn with the probability that the latent ones give; of "binary_connect" and "bnn".
        scaled: the weights of each filter are times its mean |latent weight|; None: as the method's paper has it.
        gradient: of the signs of activations, "clip" or "polynomial"; None: as the method's paper has it.
        glorot: latent weights learn faster by the inverse of the coefficient sqrt(1.5 / (inputs + outputs)) of Glorot and
            Bengio 2010 (by its square with "sgd"), as BinaryConnect proposes.
        epochs: of the training.
        training: its other settings; Adam at 0.001 without decay by default, and its ``epochs`` do not count.
        distillation: such as from the network before compression.
        layers: weights (or modules, by the start of the name) to make binary; all but the first and last if empty.
        keep: those to leave.
    """

    method: str = "bnn"
    stochastic: bool = False
    scaled: bool | None = None
    gradient: str | None = None
    glorot: bool = False
    epochs: int = 20
    training: Training | None = None
    distillation: Distillation | None = None
    layers: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        take_tables(self, "binarize")
        own = Fields("binarize")
        own.word("method", self.method, METHODS)
        if self.gradient is not None:
            own.word("gradient", self.gradient, GRADIENTS)
        if self.gradient is not None and not self.signs_activations:
            what = "'gradient' is that of binary activations, which 'binary_connect' has not"
            raise own.refusal("gradient", what, 'method = "bnn"')
        if self.stochastic and self.has_scales:
            what = "weights that are drawn have no scale"
            raise own.refusal("stochastic", what, "'stochastic' goes with binary_connect and bnn")
        own.whole("epochs", self.epochs, 0, "epochs = 20")
        own.names("layers", self.layers)
        own.names("keep", self.keep)

    @property
    def signs_activations(self) -> bool:
        """Activations are binary too."""
        return self.method != "binary_connect"

    @property
    def has_scales(self) -> bool:
        """Every filter has a scale."""
        return self.method in ("xnor_net", "react_net") if self.scaled is None else self.scaled

    @property
    def sign_gradient(self) -> str:
        """The gradient of the signs of activations."""
        return self.gradient or ("polynomial" if self.method == "react_net" else "clip")

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A copy with binary layers whose history has one record more.

        Its ``details`` name the layers and have the training's curves; with ``stochastic`` also the metrics of the network
        with the latent weights themselves ("real_weights").

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` with ``train``, and ``evaluate`` for the metrics.
            context: of the recipe.

        Raises:
            UsageError: a name that is no weight's, no layer to make binary, no data, or a loss that became NaN.
            InputError: data or teacher does not fit.
            Unsupported: the graph is quantised.
        """
        from edgekit.compress.binarize.application import binarize

        return binarize(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return options_of(self)
