"""The compression step ``early_exit``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.early_exit.head import Head
from edgekit.compress.given import options_of, take_tables, takes_a_graph
from edgekit.config import is_reference
from edgekit.train.settings import AUGMENTATIONS, Training

if TYPE_CHECKING:
    from edgekit.ir import Graph

SCORES = ("confidence", "entropy", "margin")

_OWN = Fields("early_exit")
_PLACES = 'at = ["layer1"], at = [0.3] or at = "auto"'

_HEAD = Head()

#: How heads are trained where nothing is said: Adam, because they start from nothing and are small.
TRAINING = Training(optimizer="adam", lr=2e-3, weight_decay=1e-4, batch_size=256)

#: How all is trained together where nothing is said: gently, because the network is trained already.
JOINT = Training(optimizer="sgd", lr=0.01)


@dataclass(frozen=True)
class EarlyExit:
    """Adds exits to a classifier: easy samples leave at the first one that is sure enough (BranchyNet, arXiv:1709.01686).

    Each exit has a small head. Its temperature is fitted on the part of the training data that is held out (negative log
    likelihood, arXiv:1706.04599); then the thresholds of all exits are chosen there for the goal. The evaluation data is only
    reported on. The graph stays flat and computes all exits; exported files compute what a sample needs, in nested IFs.

    Put the step behind those that change the network (prune, fine tune); quantisation comes after it.

    Attributes:
        at: where exits are: names of values or of modules (the last value that a module computes), or shares of the network's
            MACs from 0 to 1, or "auto": of several places those that serve the goal best.
        exits: how many exits "auto" places at most.
        output: the output that is classified, where the network has several.
        head: of every exit, or one for each in the order of ``at``.
        freeze: the network stays as it is, bit for bit, and only heads are trained; False: all is trained together.
        weights: of the losses of the exits in joint training, in the order of ``at``, the last exit at the end; () for 1 each.
        self_distillation: share of an exit's loss that is the divergence from the last exit's answer; from 0 to 1.
        temperature: of that divergence.
        epochs: of the training.
        training: other settings; by default Adam with lr = 0.002 for heads, gradient descent with lr = 0.01 for all. Its
            ``epochs`` do not count; its ``validation`` is the share of the training data on which temperatures and thresholds
            are chosen.
        views: of frozen networks whose samples are augmented (``training``): so many altered versions of every sample are made
            once, with what heads read of them, and an epoch goes through all of these. Heads see fewer different samples, and
            many more in the same time: the network runs ``views`` times over the data, not in every epoch. 0: new ones in
            every step.
        ensemble: every exit, the last too, adds to its logits the answer of the exit before, weighted by what makes the
            negative log likelihood least (Zero Time Waste, arXiv:2106.05409): it costs next to nothing.
        held_out_augment: how samples are changed before temperatures, weights and thresholds are chosen on them, in three
            different ways each: for a network that was trained on what is held out and knows it by heart. "none",
            "flip_crop" or ``package.module:callable`` as in ``training``.
        score: "confidence", "entropy" or "margin" of the calibrated probabilities; an exit answers above its threshold.
        max_drop: points (hundredths) of top-1 that may be lost beside the whole network; the mean cost is made least.
        mean_cost: mean share of the whole network's MACs that a sample may cost; top-1 is made largest. Instead of max_drop.
        caution: standard errors of the measured drop that are added to it before it is held against ``max_drop``: thresholds
            that are the best of many on some samples are worse on others.

    Raises:
        UsageError: a field that can't be.
    """

    at: tuple[str | float, ...] | str = "auto"
    exits: int = 2
    output: str = ""
    head: tuple[Head, ...] | Head = _HEAD
    freeze: bool = True
    weights: tuple[float, ...] = ()
    self_distillation: float = 0.0
    temperature: float = 3.0
    epochs: int = 10
    training: Training | None = None
    views: int = 0
    ensemble: bool = False
    held_out_augment: str = "none"
    score: str = "confidence"
    max_drop: float | None = None
    mean_cost: float | None = None
    caution: float = 2.0

    def __post_init__(self) -> None:
        take_tables(self, "early_exit")
        self._check_places()
        if not isinstance(self.output, str):
            raise _OWN.refusal("output", f"'output' is a name, not {self.output!r}", 'output = "logits"')
        _OWN.word("score", self.score, SCORES)
        if (self.max_drop is None) == (self.mean_cost is None):
            raise _OWN.refusal(
                "",
                "early exits need one goal, 'max_drop' or 'mean_cost'",
                "max_drop = 0.3 (points of top-1 that may be lost) or mean_cost = 0.6 (share of the network's MACs)",
            )
        means = "0 or more points of top-1"
        _OWN.number("max_drop", self.max_drop, means, "max_drop = 0.3", least=0, most=100, optional=True)
        means = "a share above 0 and up to 1"
        _OWN.number("mean_cost", self.mean_cost, means, "mean_cost = 0.6", above=0, most=1, optional=True)
        means = "a share from 0 to 1"
        _OWN.number("self_distillation", self.self_distillation, means, "self_distillation = 0.5", least=0, most=1)
        _OWN.number("temperature", self.temperature, "above 0", "temperature = 3.0", above=0)
        _OWN.number("caution", self.caution, "0 or more standard errors", "caution = 2.0", least=0)
        _OWN.whole("epochs", self.epochs, 1, "epochs = 10")
        _OWN.whole("exits", self.exits, 1, "exits = 2")
        _OWN.whole("views", self.views, 0, "views = 6")
        if self.views and not self.freeze:
            raise _OWN.refusal(
                "views", "'views' keep what a frozen network says, and here it changes", "views = 0, or freeze = true"
            )
        if self.views and self.settings().augment == "none":
            what = "'views' are altered versions of samples, and nothing alters them"
            raise _OWN.refusal("views", what, 'training = { augment = "flip_crop" }, or views = 0')
        self._check_weights()
        self._check_heads()
        if not is_reference(self.held_out_augment):
            _OWN.word("held_out_augment", self.held_out_augment, AUGMENTATIONS)
        if self.training is not None and not self.training.validation:
            raise _OWN.refusal(
                "training",
                "no threshold can be chosen without data that the heads were not trained on",
                "validation = 0.1 holds out a tenth of the training data",
            )

    def _check_places(self) -> None:
        if isinstance(self.at, str):
            if self.at != "auto":
                raise _OWN.refusal("at", f"'at' is a list, or \"auto\", not '{self.at}'", f'at = ["{self.at}"]')
            if not self.freeze:
                raise _OWN.refusal(
                    "freeze",
                    '"auto" compares heads on a frozen network',
                    "name the places that it finds, or leave out freeze = false",
                )
            return
        if not isinstance(self.at, Iterable):
            raise _OWN.refusal("at", f"'at' is a list, or \"auto\", not {self.at!r}", f"at = [{self.at!r}]")
        object.__setattr__(self, "at", tuple(self.at))
        if not self.at:
            raise _OWN.refusal("at", "'at' names no place", _PLACES)
        for place in self.at:
            share = isinstance(place, int | float) and not isinstance(place, bool) and 0 < place < 1
            if not share and not isinstance(place, str):
                raise _OWN.refusal(
                    "at", f"'at' names values or modules, or shares of cost between 0 and 1, not {place!r}", _PLACES
                )

    def _check_weights(self) -> None:
        hint = "weights = [0.5, 1.0]: one for each exit and one for the last"
        if isinstance(self.weights, str) or not isinstance(self.weights, Iterable):
            raise _OWN.refusal("weights", f"'weights' is a list of numbers, not {self.weights!r}", hint)
        for weight in self.weights:
            _OWN.number("weights", weight, "a list of numbers from 0", hint, least=0)
        if self.weights and not any(self.weights):
            raise _OWN.refusal("weights", "'weights' are all 0", hint)
        if self.weights and not isinstance(self.at, str) and len(self.weights) != len(self.at) + 1:
            raise _OWN.refusal(
                "weights",
                f"{len(self.weights)} weights for {len(self.at)} exits and the last one",
                f"{len(self.at) + 1} weights, or none for 1 each",
            )

    def _check_heads(self) -> None:
        if isinstance(self.head, Head):
            return
        hint = "head = { pool = 2 } for all, or one table for each place in 'at'"
        if not isinstance(self.head, Iterable) or any(not isinstance(head, Head) for head in self.head):
            raise _OWN.refusal("head", f"'head' is one head or a list of them, not {self.head!r}", hint)
        object.__setattr__(self, "head", tuple(self.head))
        if isinstance(self.at, str) or len(self.head) != len(self.at):
            places = "an unknown number of" if isinstance(self.at, str) else len(self.at)
            raise _OWN.refusal("head", f"{len(self.head)} heads for {places} places", hint)

    def heads(self, wishes: Sequence[int]) -> tuple[Head, ...]:
        """The head of each place, which is the ``wishes[i]``-th in ``at``."""
        return tuple(self.head if isinstance(self.head, Head) else self.head[wish] for wish in wishes)

    def weights_of(self, wishes: Sequence[int]) -> tuple[float, ...]:
        """The weight of each place's loss, likewise, and of the last exit's."""
        return (*(self.weights[wish] for wish in wishes), self.weights[-1]) if self.weights else (1.0,) * (len(wishes) + 1)

    def settings(self) -> Training:
        """Of the training."""
        from dataclasses import replace

        return replace(self.training or (TRAINING if self.freeze else JOINT), epochs=self.epochs)

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A copy with exits whose history has one record more.

        Its ``details`` have the exits ("exits": place, cost, temperature, threshold, rate, top-1 alone and of those that left
        there), "cost" (mean, p90, worst, as shares and MACs) and the curve of top-1 against mean cost, on the held out part
        and ("evaluation") on the evaluation data.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` (or what may stand for its training part), with labels.
            context: of the recipe.

        Raises:
            UsageError: no data or no labels, a place that is nobody's, or a loss that became NaN.
            InputError: the data does not fit.
            Unsupported: the graph is quantised, has exits already, has several outputs and none is chosen, is no classifier,
                or a place depends on the batch.
        """
        from edgekit.compress.early_exit.application import add_exits

        return add_exits(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return options_of(self)
