"""The compression step ``slimmable``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import options_of, take_tables, takes_a_graph
from edgekit.compress.slimmable.size import Size
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph

NORMS = ("switchable", "shared")
HEADS = ("auto", "own", "shared")
GRADIENTS = ("mean", "sum")
BATCHES = ("auto", "shared")

#: How the network is trained where nothing is said.
TRAINING = Training(optimizer="sgd", lr=0.05)

_OWN = Fields("slimmable")
_SHARES = {"widths": "widths = [0.25, 0.5, 0.75, 1.0]", "depths": "depths = [0.5, 1.0]"}


@dataclass(frozen=True)
class Slimmable:
    """Trains a network so that its first channels alone are a network too, at every width (Yu et al., arXiv:1812.08928).

    Each width has the first channels of every layer, with all that is coupled to them, as ``prune`` knows it. Weights are
    shared, but for small last layers; batch norms have parameters and statistics of their own at every width, or statistics
    alone. In each step the whole network learns from the labels, and narrower ones from these and from what it answers
    (arXiv:1903.05134), each of a batch of its own.

    The result is the whole network; ``edgekit.slimmed(graph, width=0.5)`` is another width of it, an ordinary graph, and
    ``edgekit build`` makes files of all of them. It is the last step of a recipe.

    Attributes:
        widths: shares of channels, above 0 and up to 1; the whole network, 1.0, is among them.
        depths: shares of the residual blocks of every stage, the first ones, likewise; every width has every depth.
        norms: "switchable": batch norms are each size's own; "shared": sizes share scales and shifts, and their statistics
            are measured after the training.
        heads: "own": the last layers are each size's own, which costs bytes and gains accuracy; "shared": smaller sizes have
            the first inputs of the whole network's, as in the papers; "auto": own where all of them together have at most a
            fiftieth of the network's parameters.
        sandwich: sizes that are trained in one step between the whole network and the smallest, drawn anew each time; None:
            all of them.
        distillation: share of the loss of smaller sizes that is their distance from the whole network's answer, from 0 to 1;
            the rest is the labels'. It rises evenly from 0 over the epochs: at first there is nothing to learn from.
        temperature: of that distance.
        gradients: "mean": a weight takes the mean of the gradients of all sizes that it is a part of, so that the channels
            that all sizes share learn no faster than the others; "sum": their sum, as in the papers.
        batches: "auto": every size that is trained in a step has a batch of its own, from a pass of its own over the data, so
            that the weights they share learn from several batches; a loader that has one order gives all sizes the same batch.
            "shared": always the same batch, as in the papers.
        round_to: every layer keeps a multiple of so many channels.
        epochs: of the training.
        training: its other settings; by default gradient descent with lr = 0.05. Its ``epochs`` do not count.

    Raises:
        UsageError: a field that can't be.
    """

    widths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    depths: tuple[float, ...] = (1.0,)
    norms: str = "switchable"
    heads: str = "auto"
    sandwich: int | None = None
    distillation: float = 0.5
    temperature: float = 1.0
    gradients: str = "mean"
    batches: str = "auto"
    round_to: int = 1
    epochs: int = 10
    training: Training | None = None

    def __post_init__(self) -> None:
        take_tables(self, "slimmable")
        for name, hint in _SHARES.items():
            self._check_shares(name, hint)
        if len(self.sizes) < 2:
            raise _OWN.refusal("widths", "a network with one size has nothing to be slimmed to", _SHARES["widths"])
        _OWN.word("norms", self.norms, NORMS)
        _OWN.word("heads", self.heads, HEADS)
        _OWN.word("gradients", self.gradients, GRADIENTS)
        _OWN.word("batches", self.batches, BATCHES)
        _OWN.whole("sandwich", self.sandwich, 0, "sandwich = 2", optional=True)
        _OWN.number("distillation", self.distillation, "a share from 0 to 1", "distillation = 0.5", least=0, most=1)
        _OWN.number("temperature", self.temperature, "above 0", "temperature = 1.0", above=0)
        _OWN.whole("round_to", self.round_to, 1, "round_to = 8", means="a number of channels, whole and from 1")
        _OWN.whole("epochs", self.epochs, 1, "epochs = 10")

    def _check_shares(self, name: str, hint: str) -> None:
        given = getattr(self, name)
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise _OWN.refusal(name, f"'{name}' is a list of shares, not {given!r}", hint)
        shares = tuple(given)
        for share in shares:
            _OWN.number(name, share, "a list of shares above 0 and up to 1", hint, above=0, most=1)
        if 1.0 not in shares:
            raise _OWN.refusal(name, f"'{name}' lacks the whole network, 1.0", hint)
        if len({f"{share:g}" for share in shares}) < len(shares):
            raise _OWN.refusal(name, f"'{name}' has a share twice", hint)
        object.__setattr__(self, name, tuple(sorted(float(share) for share in shares)))

    @property
    def sizes(self) -> tuple[Size, ...]:
        """All of them, the whole network first."""
        return tuple(Size(width, depth) for width, depth in product(self.widths[::-1], self.depths[::-1]))

    def settings(self) -> Training:
        """Of the training."""
        return replace(self.training or TRAINING, epochs=self.epochs)

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A trained copy whose history has one record more.

        Its ``details`` have "sizes": width, depth, MACs, parameters and bytes of each, its metrics on the part held out
        ("held_out") and on the evaluation data ("metrics").

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` (or what may stand for its training part).
            context: of the recipe.

        Raises:
            UsageError: no data, a size that is the same as another, or a loss that became NaN.
            InputError: the data does not fit.
            Unsupported: the graph is quantised or slimmable already, no layer may lose channels, or it has no residual
                blocks to leave out.
        """
        from edgekit.compress.slimmable.application import make_slimmable

        return make_slimmable(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return options_of(self)
