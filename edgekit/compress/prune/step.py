"""The compression step ``prune``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.controls.settings import Controls, check_controls
from edgekit.compress.gauging.asked import MEASURED, check_measured, is_measured
from edgekit.compress.given import options_of, take_tables, takes_a_graph
from edgekit.train.distillation.settings import Distillation
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph

#: Criteria by what they need of the data.
NEEDS: dict[str, Literal["", "inputs", "labels"]] = {
    "l1": "",
    "l2": "",
    "fpgm": "",
    "bn_scale": "",
    "random": "",
    "apoz": "inputs",
    "taylor": "labels",
}

#: What a prune may be held to, exactly one of them.
AMOUNTS = ("ratio", "macs", "parameters", *MEASURED)


_OWN = Fields("prune")
_AMOUNT = "ratio = 0.5 removes half of every group's channels; macs = 0.5 keeps half the multiply-accumulates"


@dataclass(frozen=True)
class Prune:
    """Removes whole channels, neurons, heads and hidden units, with all that is coupled to them.

    Exactly one of the amounts is given. After removal the graph is compared with its masked original, and refused on a
    mismatch.

    Attributes:
        ratio: share of channels removed in every group (0 to below 1); of all groups together with scope "global".
        macs: multiply-accumulates kept: a share up to 1.0, an amount above.
        parameters: parameters kept, likewise.
        bytes: of the file kept, likewise: of the file that the build makes for its first target, else of an int8 TFLite file
            where there is data to calibrate it with, else of a float32 one.
        instructions: ARM64 instructions per inference kept, likewise, counted under emulation.
        latency: the share of the latency kept, timed.
        latency_ms: milliseconds per inference, timed.
        on: where instructions ("qemu:cortex-a53" and the like) or latency ("local", "ssh://user@host", "adb") are measured, as
            after ``edgekit bench --on``. What is measured is the same file.
        criterion: "fpgm", "l1", "l2", "bn_scale", "random", "apoz" (needs data) or "taylor" (needs labels).
        scope: channels are ranked within their group ("local") or over all ("global").
        round_to: every layer that loses channels keeps a multiple of so many: the width of the target's SIMD registers.
        keep: parameters or modules, by name or pattern (``layer3.*``), whose output channels stay.
        absorb: the mean of what is removed goes into its readers' biases; needs data.
        reestimate: batch-norm statistics are measured again; needs data.
        seed: of the random criterion.
        rounds: importance is judged anew, and a part of what is to go removed, so many times, with a training after each. The
            share that is kept after each round falls evenly (by the same factor), and the last round meets the amount.
        epochs: of the training after each round.
        training: its other settings; those of ``Training`` by default, and its ``epochs`` do not count.
        distillation: of these trainings.
        sparsity: L1 on the scales of batch norms (Network Slimming, arXiv:1708.06519: 1e-4 or 1e-5) in a training of
            ``epochs`` before the first round and in those between rounds; with criterion "bn_scale".
        controls: the pruned architecture is trained from scratch too, for equal epochs and for equal compute, and the record
            has both beside the pruned network; True, or ``Controls`` with settings.
    """

    ratio: float | None = None
    macs: float | None = None
    parameters: float | None = None
    bytes: float | None = None
    instructions: float | None = None
    latency: float | None = None
    latency_ms: float | None = None
    on: str = ""
    criterion: str = "fpgm"
    scope: str = "local"
    round_to: int = 1
    keep: tuple[str, ...] = ()
    absorb: bool = False
    reestimate: bool = False
    seed: int = 0
    rounds: int = 1
    epochs: int = 0
    training: Training | None = None
    distillation: Distillation | None = None
    sparsity: float = 0.0
    controls: bool | Controls = False

    def __post_init__(self) -> None:
        take_tables(self, "prune")
        given = [name for name in AMOUNTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise _OWN.refusal("", f"'prune' takes exactly one amount, not {', '.join(given) or 'none'}", _AMOUNT)
        _OWN.number(
            "ratio",
            self.ratio,
            "the share of channels removed, from 0 to below 1",
            "ratio = 0.5",
            least=0,
            below=1,
            optional=True,
        )
        if self.ratio is None:
            means = "a share or an amount that is kept, above 0"
            _OWN.number(given[0], getattr(self, given[0]), means, f"{given[0]} = 0.5 keeps half", above=0)
        check_measured(_OWN, self)
        _OWN.word("criterion", self.criterion, tuple(NEEDS))
        _OWN.word("scope", self.scope, ("local", "global"))
        _OWN.whole("round_to", self.round_to, 1, "round_to = 8", means="a number of channels, whole and from 1")
        _OWN.names("keep", self.keep)
        _OWN.whole("seed", self.seed, 0, "seed = 1")
        self._check_rounds()

    @property
    def is_measured(self) -> bool:
        """The budget is of a file: of its bytes, or of the instructions or the latency that the harness measures."""
        return is_measured(self)

    def _check_rounds(self) -> None:
        _OWN.whole("rounds", self.rounds, 1, "rounds = 4")
        _OWN.whole("epochs", self.epochs, 0, "epochs = 2")
        _OWN.number("sparsity", self.sparsity, "0 or above", "1e-4, or 1e-5 for networks with shortcuts", least=0)
        if self.sparsity and self.criterion != "bn_scale":
            what = "'sparsity' makes scales of batch norms small"
            raise _OWN.refusal("sparsity", what, 'criterion = "bn_scale" ranks by them')
        _OWN.training(self, self.epochs, ("training", "distillation", "sparsity"), "after each round")
        check_controls(_OWN, self.controls, self.epochs)

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A smaller graph whose history has one record more.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` (or what may stand for its training part), where the criterion or an option needs it.
            context: of the recipe.

        Raises:
            UsageError: data is needed and missing.
            OverBudget: the budget cannot be met.
            Unsupported: the graph is quantised, or it cannot be exported to be measured.
            DeviceError: the harness cannot measure here.
            ParityError: the smaller graph does not compute what the masked original does.
        """
        from edgekit.compress.prune.application import prune
        from edgekit.compress.prune.rounds import prune_in_rounds

        place = context or Context()
        if self.rounds == 1 and not self.epochs:
            return prune(self, graph, data, place)
        return prune_in_rounds(self, graph, data, place)

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return options_of(self)
