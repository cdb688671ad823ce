"""The compression step ``lottery_ticket``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import options_of, take_tables, takes_a_graph
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph

#: What the ticket is compared with; see ``LotteryTicket.controls``.
CONTROLS = ("reinit", "signs", "supermask", "one_weight")


@dataclass(frozen=True)
class LotteryTicket:
    """Looks for a sparse network that trains well from its own initialisation, and reports what else does.

    Train, set the weights of least final magnitude to zero, rewind the others to where they began, train again: round after
    round (Frankle & Carbin, arXiv:1803.03635). It needs ``evaluate``, trains the network ``rounds`` + 1 times and once more
    for each of two controls, and makes no kernel faster: it is an experiment.

    Attributes:
        sparsity: share of zeros in each layer at the end, above 0 to below 1.
        rounds: the share that lives falls by the same factor in each.
        epochs: of every training.
        training: its other settings; those of ``Training`` by default, and its ``epochs`` do not count.
        rewind: 0: to the initialisation; k: to the state after a training of k epochs with the same settings, from which the
            dense network goes on as well (arXiv:1912.05671).
        output_rate: the last layer loses this part of the others' share in each round; 0.5 in the paper.
        fresh: the initialisation is drawn anew by ``seed``; otherwise it is what the given graph has: an untrained one.
        seed: of initialisations.
        controls: "reinit": the same mask with other initial weights, trained. "signs": the ticket's initial weights replaced by
            their sign times the standard deviation of the layer's, trained (arXiv:1905.01067). "supermask": masks on the
            initial weights, untrained. "one_weight": one value for all that live, untrained (arXiv:1906.04358).
        layers: weights (or modules, by the start of the name) to make sparse; all if empty.
        keep: those to leave.
    """

    sparsity: float
    rounds: int = 5
    epochs: int = 5
    training: Training | None = None
    rewind: int = 0
    output_rate: float = 0.5
    fresh: bool = True
    seed: int = 0
    controls: tuple[str, ...] = CONTROLS
    layers: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        take_tables(self, "lottery_ticket")
        own = Fields("lottery_ticket")
        means = "the share of weights that are zero, above 0 to below 1"
        own.number("sparsity", self.sparsity, means, "sparsity = 0.95", above=0, below=1)
        own.whole("rounds", self.rounds, 1, "rounds = 5")
        own.whole("epochs", self.epochs, 1, "epochs = 5")
        own.whole("rewind", self.rewind, 0, "rewind = 1", means="a number of epochs from 0")
        own.number("output_rate", self.output_rate, "a part from 0 to 1", "output_rate = 0.5", least=0, most=1)
        own.whole("seed", self.seed, 0, "seed = 1")
        own.names("controls", self.controls, 'controls = ["reinit"]')
        for control in self.controls:
            own.word("controls", control, CONTROLS, "control")
        own.names("layers", self.layers)
        own.names("keep", self.keep)

    def share(self, number: int, *, output: bool = False) -> float:
        """The share of zeros of a layer after a round, counted from 1; of the last layer with ``output``."""
        rate = 1 - (1 - self.sparsity) ** (1 / self.rounds)
        return float(1 - (1 - rate * (self.output_rate if output else 1.0)) ** number)

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """The trained ticket, whose history has one record more: its ``details`` have every variant's metrics.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` with ``train`` and ``evaluate``.
            context: of the recipe.

        Raises:
            UsageError: no ``evaluate``, a name that is no weight's, nothing to train with, or a loss that became NaN.
            InputError: data that does not fit.
            Unsupported: the graph is quantised.
        """
        from edgekit.compress.lottery.application import lottery_ticket

        return lottery_ticket(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return options_of(self)
