"""Deep mutual learning inside the training loop: peers that are trained beside the student and discarded afterwards.

Of each batch the peers are updated first, one after the other, each by the latest predictions of all others; then the student
by theirs: algorithm 1 of arXiv:1706.00384 with the student as its last network.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, Value
from edgekit.train.distillation.labelled import labelled_part
from edgekit.train.distillation.matching import Matched, kind_of, match
from edgekit.train.distillation.mutual import binary_mutual_loss, mutual_loss
from edgekit.train.distillation.teacher import make_teacher, sample_axis, value_named
from edgekit.train.identity import graph_digest
from edgekit.train.objective import Pass
from edgekit.train.optimizer import learning_rate, optimizer_of
from edgekit.train.settings import Training
from edgekit.train.task_loss import TaskLoss, task_loss


class MutualObjective:
    """The student's own loss, and the mean divergence from its peers' predictions.

    Attributes:
        watches: the student's logits.
        modules: the peers, with the memory of their optimizers, so that checkpoints hold them.
        identity: differs where a peer's initial weights, or the weight of the term, differ.
    """

    def __init__(
        self,
        student: Graph,
        peers: Sequence[Graph],
        training: Training,
        steps: int,
        *,
        weight: float = 1.0,
        root: Path | None = None,
    ) -> None:
        """The peers are copied.

        Args:
            student: the graph that the loop trains.
            peers: the other networks; same inputs, same outputs.
            training: of all of them.
            steps: batches in an epoch.
            weight: of the divergence.
            root: folder that a callable is imported from.

        Raises:
            UsageError: no peer.
            InputError, Unsupported: a peer's inputs or outputs are not the student's, or several processes train.
        """
        if not peers:
            raise UsageError("mutual learning needs another network", where="mutual_learning", hint="copies = 1")
        if torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            raise Unsupported(
                "mutual learning runs in one process", where="several processes", hint="start one, or distil from a teacher"
            )
        frozen = [make_teacher(peer, f"peer {number}", student, []) for number, peer in enumerate(peers, 1)]
        self._outputs = match(student, frozen)
        if any(len(set(each.theirs)) != 1 for each in self._outputs):
            raise Unsupported("the peers have different numbers of outputs", where=student.name, hint="give them the same")
        self._training, self._steps, self._weight = training, steps, weight
        self._task, self._axes = task_loss(student, training, root), _axes(student, training, root)
        self._peers = [_Peer(peer, training, root) for peer in peers]
        self.modules = nn.ModuleList(self._peers)
        self.watches = tuple(dict.fromkeys([each.logits.value.name for each in self._outputs] + list(self._task.watches)))
        digest = hashlib.sha256(f"{weight}{steps}".encode())
        for peer in peers:
            digest.update(graph_digest(peer).encode())
        self.identity = digest.hexdigest()

    def __call__(self, step: Pass) -> dict[str, Tensor]:
        """``task`` and ``mutual``; where gradients are on, the peers take their step first."""
        mine = [step.features[each.logits.value.name] for each in self._outputs]
        with torch.no_grad():
            theirs = [peer.answer(step.inputs)[0] for peer in self._peers]
        if torch.is_grad_enabled():
            for index, peer in enumerate(self._peers):
                others = [[m.detach() for m in mine], *theirs[:index], *theirs[index + 1 :]]
                theirs[index] = self._teach(peer, step, others)
        terms: dict[str, Tensor] = {}
        part = labelled_part(step, *self._axes)
        if part is not None:
            terms["task"] = self._task(part)["task"]
        terms["mutual"] = self._weight * self._divergence(mine, theirs, step)
        return terms

    def _teach(self, peer: _Peer, step: Pass, others: list[list[Tensor]]) -> list[Tensor]:
        """One step of a peer; its predictions after it."""
        logits, outputs, features = peer.answer(step.inputs)
        part = labelled_part(Pass(step.inputs, step.targets, outputs, features, step.epoch, step.further_targets), *peer.axes)
        loss = self._weight * self._divergence(logits, others, step)
        if part is not None:
            loss = loss + peer.task(part)["task"]
        peer.update(loss, self._training, self._steps)
        with torch.no_grad():
            return peer.answer(step.inputs)[0]

    def _divergence(self, own: list[Tensor], others: list[list[Tensor]], step: Pass) -> Tensor:
        """The mean over outputs of the divergence from the others."""
        return torch.stack([self._of_output(each, own, others, step) for each in self._outputs]).mean()

    def _of_output(self, each: Matched, own: list[Tensor], others: list[list[Tensor]], step: Pass) -> Tensor:
        target = step.target_of(each.index)
        axis = each.class_axis(target)
        kind = kind_of(each, target, self._training.loss, self._task)
        if kind == "numbers":
            raise Unsupported(
                f"output '{each.name}' predicts numbers, and mutual learning compares probabilities",
                where="the student's outputs",
                hint='train without peers, or distil from a teacher with kind = "numbers"',
            )
        peers = [other[each.index if len(other) > 1 else 0] for other in others]
        mine = own[each.index]
        return binary_mutual_loss(mine, peers) if kind == "binary" else mutual_loss(mine, peers, axis=axis)


class _Peer(nn.Module):
    """A network with an optimizer of its own, whose memory is held in buffers.

    Its parameters ask for gradients only while it is updated, so that the loop leaves them alone.
    """

    count: Tensor

    def __init__(self, graph: Graph, training: Training, root: Path | None) -> None:
        super().__init__()
        self.network = copy.deepcopy(graph.module())
        graph = self.network.graph
        self.task: TaskLoss = task_loss(graph, training, root)
        self.axes = _axes(graph, training, root)
        self._trained = [p for p in self.network.parameters() if p.requires_grad]
        self._logits = [each.logits.value for each in match(graph, [])]
        self._watched = {id(value) for value in self._logits} | {
            id(value_named(graph, n, "the peer")) for n in self.task.watches
        }
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self._optimizer = optimizer_of(self._trained, training)
        for group in self._optimizer.param_groups:
            group["lr"] = 0.0
        for parameter in self._trained:
            parameter.grad = torch.zeros_like(parameter)
        self._optimizer.step()  # makes its memory, and moves nothing
        for index, memory in enumerate(self._memories()):
            for key, tensor in memory.items():
                if isinstance(tensor, Tensor):
                    self.register_buffer(f"memory_{index}_{key}", torch.zeros_like(tensor))
        self._rest()

    def answer(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
        """Logits, outputs, and the features that its own loss looks at, in the student's mode."""
        kept: dict[int, tuple[str, Tensor]] = {}

        def observe(value: Value, tensor: Tensor) -> None:
            if id(value) in self._watched:
                kept[id(value)] = (value.name, tensor)

        if torch.is_grad_enabled():
            for parameter in self._trained:
                parameter.requires_grad_(True)
        outputs = self.network.run(inputs, observe)
        return [kept[id(value)][1] for value in self._logits], outputs, dict(kept.values())

    def update(self, loss: Tensor, training: Training, steps: int) -> None:
        """One step of its optimizer, at the loop's learning rate."""
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward()  # type: ignore[no-untyped-call]
        if training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._trained, training.clip_norm)
        for index, memory in enumerate(self._memories()):
            for key in memory:
                if isinstance(memory[key], Tensor):  # a count stays on the CPU, where the optimizer wants it
                    kept = self.get_buffer(f"memory_{index}_{key}")
                    memory[key] = kept.cpu() if key == "step" else kept
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(training, int(self.count), steps)
        self._optimizer.step()
        for index, memory in enumerate(self._memories()):
            if isinstance(memory.get("step"), Tensor):
                self.get_buffer(f"memory_{index}_step").copy_(memory["step"])
        self.count += 1
        self._rest()

    def _memories(self) -> list[dict[str, Tensor]]:
        return [self._optimizer.state[parameter] for parameter in self._trained if parameter in self._optimizer.state]

    def _rest(self) -> None:
        for parameter in self._trained:
            parameter.grad = None
            parameter.requires_grad_(False)


def _axes(graph: Graph, training: Training, root: Path | None) -> tuple[list[int], dict[str, int]]:
    """Axis of the samples in each output, and in each feature that the task's loss looks at."""
    watches = task_loss(graph, training, root).watches
    return (
        [sample_axis(value.type) for value in graph.outputs],
        {name: sample_axis(value_named(graph, name, "the network").type) for name in watches},
    )
