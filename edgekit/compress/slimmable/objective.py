"""What sizes are trained for: the whole network for the labels, the others for its answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgekit.compress.slimmable.answers import Answers
from edgekit.compress.slimmable.nested import Nested, Running
from edgekit.compress.slimmable.pace import Pace
from edgekit.ir import Graph, Value
from edgekit.train.distillation.matching import Matched, kind_of, output_loss
from edgekit.train.distillation.teacher import sample_axis
from edgekit.train.logits import find_logits
from edgekit.train.masks import Masks, WeightRule
from edgekit.train.objective import Pass
from edgekit.train.task_loss import TaskLoss


class Sandwich:
    """The sandwich rule with in-place distillation (Yu & Huang 2019, arXiv:1903.05134).

    In every step the whole network, the smallest one and ``between`` others run, each on a batch of its own or all on the same.
    With the whole network's logits t of that batch, of which no gradient is taken, a smaller one's loss is
    a T^2 KL(softmax(t / T), softmax(z / T)) + (1 - a) of the user's loss; where outputs are numbers, the squared distance from
    them stands for the divergence.

    Args:
        graph: of the whole network, as it is before the training.
        nested: the other sizes, the smallest one last.
        task: the user's loss.
        loss: its name, as in ``Training.loss``.
        between: how many sizes between; None: all.
        share: a, at the end of the training: it rises evenly from 0, for what has learned nothing teaches nothing.
        temperature: T.
        epochs: of the training.
        gradients: "sum" or "mean", of the sizes that a weight is a part of.
        batches: "auto": each size has its own where the training data has several orders; "shared": all have the same.

    Attributes:
        draws: batches that a step takes.
    """

    def __init__(
        self,
        graph: Graph,
        nested: Sequence[Nested],
        task: TaskLoss,
        *,
        loss: str,
        between: int | None,
        share: float,
        temperature: float,
        epochs: int,
        gradients: str,
        batches: str,
    ) -> None:
        self.modules = nn.ModuleList()
        self._task, self._loss, self._nested = task, loss, list(nested)
        last = len(nested) - 1
        self._between = last if between is None else min(between, last)
        self._share, self._temperature, self._epochs = share, temperature, epochs
        self._gradients = gradients
        self._pairs = [_pair(value, index) for index, value in enumerate(graph.outputs)]
        self.watches = tuple(dict.fromkeys((*task.watches, *(pair.logits.value.name for pair in self._pairs))))
        self.draws = 1 if batches == "shared" else self._between + 2
        self.identity = f"{[n.size for n in nested]}{between}{share}{temperature}{batches}"
        self._answers = Answers(graph, self.watches)
        self._running = [each.running() for each in nested]
        self._whole: Graph | None = None

    def around(self, graph: Graph, alive: dict[str, Tensor]) -> WeightRule:
        """The rule of a training of ``graph``, whose tensors the sizes are parts of from now on."""
        self._whole = graph
        if self._gradients == "sum":
            return Masks(graph, alive)
        last = len(self._nested) - 1
        return Pace(graph, alive, self._nested, [*[self._between / max(last, 1)] * last, 1.0])

    def __call__(self, step: Pass) -> dict[str, Tensor]:
        """``{"whole": loss, "0.5": loss, ...}``; their sum is minimised, so that channels of the whole network alone learn as
        fast as they do without the others. For those that sizes share see ``Pace``.

        Raises:
            InputError: the batch has no targets, or they do not fit the outputs.
        """
        assert self._whole is not None
        terms = {"whole": self._task(step)["task"]}
        for place, index in enumerate(self._drawn()):
            lesson = self._own(step, place, self._whole)
            terms[self._nested[index].size.name] = self._of(self._nested[index], self._running[index], lesson, self._whole)
        return terms

    def _own(self, step: Pass, place: int, whole: Graph) -> Pass:
        """The batch that a smaller size learns from, with what the whole network answers to it where that is asked for."""
        if not step.others:
            return step
        batch = step.others[place]
        outputs, features = self._answers(whole, batch) if self._share_at(step.epoch) else ([], {})
        first, further = (batch.targets[0], batch.targets[1:]) if batch.targets else (None, ())
        return Pass(batch.inputs, first, outputs, features, step.epoch, further)

    def _share_at(self, epoch: int) -> float:
        return self._share * epoch / max(self._epochs - 1, 1)

    def _drawn(self) -> list[int]:
        """Sizes of a step: the smallest, and some others."""
        last = len(self._nested) - 1
        if self._between == last:
            return list(range(last + 1))
        return [*sorted(torch.randperm(last)[: self._between].tolist()), last]

    def _of(self, nested: Nested, running: Running, step: Pass, whole: Graph) -> Tensor:
        outputs, features = running.learning(nested.tensors(whole), step.inputs, self.watches)
        own = Pass(step.inputs, step.targets, outputs, features, step.epoch, step.further_targets)
        share = self._share_at(step.epoch)
        loss = torch.zeros((), device=outputs[0].device)
        if share:
            distances = [self._distance(pair, own, step) for pair in self._pairs]
            loss = loss + share * torch.stack(distances).mean()
        if share < 1:
            loss = loss + (1 - share) * self._task(own)["task"]
        return loss

    def _distance(self, pair: Matched, own: Pass, step: Pass) -> Tensor:
        kind = kind_of(pair, step.targets, self._loss, self._task)
        name = pair.logits.value.name
        if kind == "numbers":
            mine, theirs = own.outputs[pair.index], step.outputs[pair.index]
        else:
            mine, theirs = own.features[name], step.features[name]
        axis = pair.class_axis(step.targets)
        return output_loss(kind, mine, [theirs.detach()], self._temperature, "arithmetic", axis)


def _pair(output: Value, index: int) -> Matched:
    """An output of a smaller network beside the same output of the whole one."""
    logits = find_logits(output)
    return Matched(output.name, index, logits, (index,), logits.kind, logits.axis, sample_axis(logits.value.type))
