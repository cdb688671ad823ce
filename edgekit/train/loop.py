"""The training loop: for people who bring data and no loop."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit.errors import UsageError
from edgekit.ir import Graph
from edgekit.train import checkpoint as files
from edgekit.train import randomness
from edgekit.train.batches import UNLABELLED, Feeding, Samples
from edgekit.train.checkpoint import Checkpoint
from edgekit.train.device import accelerator
from edgekit.train.draws import draws, draws_of
from edgekit.train.identity import graph_digest
from edgekit.train.masks import Masks, WeightRule
from edgekit.train.objective import Objective
from edgekit.train.optimizer import learning_rate, optimizer_of
from edgekit.train.progress import Progress, progress
from edgekit.train.samples import open_samples
from edgekit.train.settings import Training
from edgekit.train.student import Student, hits, on_device
from edgekit.train.task_loss import task_loss
from edgekit.train.trained import Epoch, Trained

#: Seconds between checkpoints within an epoch.
SAVE_EVERY = 60.0


def train(
    graph: Graph,
    data: object,
    settings: Training,
    objective: Objective | None = None,
    *,
    folder: Path | None = None,
    say: Callable[[str], None] | None = None,
    root: Path | None = None,
    save_every: float = SAVE_EVERY,
    alive: Mapping[str, Tensor] | None = None,
    rule: Callable[[Graph], WeightRule] | None = None,
) -> Trained:
    """Trains a copy of a graph.

    The same arguments give the same weights, bit for bit, on the same machine and number of threads, whether the training was
    interrupted (and started again with the same ``folder``) or not. Random generators outside are left as they were.

    Args:
        graph: float; is left as it is.
        data: as :func:`edgekit.train.samples.open_samples` takes it.
        settings: how.
        objective: what is minimised; the loss that the settings name by default.
        folder: of checkpoints: one after every epoch, and within long ones. An interrupted training goes on from there.
        say: is told a line an epoch, where standard error is no terminal.
        root: folder that callables are imported from.
        save_every: seconds between checkpoints within an epoch.
        alive: bool masks by the names in ``graph.state``; what is False is zero from the first step to the last.
        rule: makes another rule for the weights of the graph that is trained, in the place of ``alive``.

    Raises:
        UsageError: nothing to train or to train with; the loss became NaN or infinite; accelerate is missing.
        InputError: the data does not fit, or the folder holds the checkpoint of another training.
        Unsupported: an input that is not made of samples.
    """
    student = copy.deepcopy(graph)
    held = Masks(student, alive or {}) if rule is None else rule(student)
    held.weights()
    if settings.epochs == 0:
        return Trained(student)
    with randomness.left_as_it_was():
        # Before the objective is made: what it trains along starts from the seed too.
        randomness.seed_all(randomness.mixed(settings.seed, "start"))
        samples, feeding = open_samples(data, student, settings, root)
        goal = objective if objective is not None else task_loss(student, settings, root)
        return _Run(student, samples, feeding, settings, goal, folder, save_every, root, held).run(say)


class _Run:
    """One training in progress."""

    def __init__(
        self,
        graph: Graph,
        samples: Samples,
        feeding: Feeding,
        settings: Training,
        objective: Objective,
        folder: Path | None,
        save_every: float,
        root: Path | None,
        rule: WeightRule,
    ) -> None:
        self.graph, self.samples, self.settings, self.folder = graph, samples, settings, folder
        self.save_every, self.rule = save_every, rule
        self.key = _key(graph, samples, settings, objective, rule) if folder is not None else ""
        self.accelerator = accelerator(settings.precision)
        self.device: torch.device = self.accelerator.device
        self.student = Student(graph, objective, feeding).to(self.device)
        trained = [p for p in self.student.parameters() if p.requires_grad]
        if not trained:
            raise UsageError("the graph has nothing to train", where=graph.name, hint="parameters with requires_grad")
        trained += getattr(rule, "trained", ())
        optimizer = optimizer_of(trained, settings, getattr(rule, "undecayed", ()))
        self.validated = Student(graph, task_loss(graph, settings, root), feeding)
        self.network, self.optimizer = self.accelerator.prepare(self.student, optimizer)
        self.rank, self.world = int(self.accelerator.process_index), int(self.accelerator.num_processes)
        self.steps, self.draws = samples.steps(self.world), draws_of(objective, samples)
        self.epoch, self.step = 0, 0
        self.sums: dict[str, float] = {}
        self.epochs: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = -1
        self.resumed_from: int | None = None

    def run(self, say: Callable[[str], None] | None) -> Trained:
        """All epochs that are left."""
        begin = self._resume()
        total, done = self.settings.epochs * self.steps, self.epoch * self.steps + self.step
        with progress(total, done, self.settings.epochs, say, self.rank == 0) as shown:
            while self.epoch < self.settings.epochs and not self._is_over():
                self._one_epoch(begin, shown)
                begin = None
        if self.best:
            files.put_back(self.student.network, self.best)
        self.student.finish()
        return Trained(self.graph, tuple(self.epochs), self.best_epoch, self.resumed_from, self.draws)

    # ------------------------------------------------------------------ one epoch

    def _one_epoch(self, generators: dict[str, Any] | None, shown: Progress) -> None:
        """Trains the rest of an epoch; ``generators`` are the states to go on with in the middle of one.

        Skipping batches does not move the generators: loaders have random numbers of their own.
        """
        started = saved = time.perf_counter()
        randomness.seed_all(randomness.mixed(self.settings.seed, "epoch", self.epoch, self.rank))
        batches = draws(self.samples, self.draws, self.epoch, self.rank, self.world, skip=self.step)
        self.student.train()
        scales = self.student.scales() if self.settings.sparsity else []
        rate = 0.0
        if generators is not None:
            randomness.restore(generators)
        for batch in batches:
            rate = learning_rate(self.settings, self.epoch * self.steps + self.step, self.steps)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            batch = on_device(batch, self.device)
            self.rule.begin()
            terms, output = self.network(batch, self.epoch)
            loss = sum(terms.values(), torch.zeros((), device=self.device))
            self.optimizer.zero_grad()
            self.accelerator.backward(loss)
            self.rule.gradients()
            if self.settings.clip_norm is not None:
                self.accelerator.clip_grad_norm_(self.student.parameters(), self.settings.clip_norm)
            for scale in scales:
                if scale.grad is not None:
                    scale.grad.add_(torch.sign(scale.detach()), alpha=self.settings.sparsity)
            self.optimizer.step()
            self.rule.weights()
            self._count(batch.size, terms, output, batch.targets)
            self.step += 1
            shown.step()
            # Only one process alone: clocks differ, and all of them would have to save at the same step.
            due = self.folder is not None and self.world == 1 and time.perf_counter() - saved >= self.save_every
            if due and self.step < self.steps:
                self._save()
                saved = time.perf_counter()
        self._finish_epoch(rate, time.perf_counter() - started)
        shown.epoch(self.epochs[-1])

    def _count(self, size: int, terms: dict[str, Tensor], output: Tensor, targets: list[Tensor]) -> None:
        """Adds a batch to the epoch's sums, and refuses a loss that is not finite."""
        right = hits(output, targets)
        found: dict[str, Any] = {name: term.detach() for name, term in terms.items()}
        for name, term in found.items():
            self._add(name, float(term) * size)
            if not math.isfinite(self.sums[name]):
                raise self._diverged("the loss", self.sums[name], self.step + 1, f"term '{name}'")
        self._add("#samples", float(size))
        if right is not None:
            self._add("#hits", float(right))
            self._add("#labelled", float((targets[0].long() != UNLABELLED).sum()))

    def _add(self, name: str, amount: float) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + amount

    def _diverged(self, what: str, value: float, step: int, place: str) -> UsageError:
        return UsageError(
            f"{what} became {'NaN' if math.isnan(value) else 'infinite'} "
            f"in epoch {self.epoch + 1}, step {step} of {self.steps}",
            where=f"training of '{self.graph.name}', {place}",
            hint=f"a smaller lr than {self.settings.rate:g}, clip_norm = 1.0, or look for such values in the data",
        )

    def _refuse_ruined_weights(self) -> None:
        """The losses of an epoch were finite; what its last step made of the weights shows in no loss of it."""
        for name, parameter in self.student.network.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                worst = parameter.detach()[~torch.isfinite(parameter)][0]
                raise self._diverged(f"'{name}'", float(worst), self.steps, "weights after the epoch's last step")

    def _finish_epoch(self, rate: float, seconds: float) -> None:
        self._refuse_ruined_weights()
        sums = self._over_processes(self.sums)
        count = sums.pop("#samples", 0.0) or 1.0
        right, labelled = sums.pop("#hits", None), sums.pop("#labelled", 0.0)
        terms = {name: value / count for name, value in sums.items()}
        training = {} if right is None or not labelled else {"top1": right / labelled}
        epoch = Epoch(self.epoch, terms, training, self._validate(), rate, seconds)
        better = not self.epochs or epoch.rank > self.epochs[self.best_epoch].rank
        self.epochs.append(epoch)
        if not epoch.validation:
            self.best_epoch = epoch.number
        elif better:
            self.best_epoch = epoch.number
            self.best = {name: t.clone() for name, t in files.tensors_of(self.student.network).items()}
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        if self.folder is not None:
            self._save()

    def _over_processes(self, sums: dict[str, float]) -> dict[str, float]:
        if self.world == 1:
            return dict(sums)
        names = sorted(sums)
        total = self.accelerator.reduce(torch.tensor([sums[n] for n in names], dtype=torch.float64, device=self.device), "sum")
        return dict(zip(names, total.tolist(), strict=True))

    def _validate(self) -> dict[str, float]:
        """Loss and top-1 of the part held out, with the user's own loss; the same in all processes."""
        if self.world > 1:  # running statistics are each process's own until they are shared
            from accelerate.utils import broadcast

            for buffer in self.student.buffers():
                buffer.copy_(broadcast(buffer.detach().clone()))
        self.student.eval()
        self.validated.eval()
        loss, right, count, scored = 0.0, 0.0, 0, False
        with torch.no_grad():
            for batch in self.samples.validation():
                batch = on_device(batch, self.device)
                judge = self.validated if batch.targets else self.student
                terms, output = judge(batch, self.epoch)
                found = hits(output, batch.targets)
                loss += float(sum(terms.values(), torch.zeros(()))) * batch.size
                right, scored = (right, scored) if found is None else (right + float(found), True)
                count += batch.size
        if not count:
            return {}
        if not math.isfinite(loss):
            raise self._diverged("the loss", loss, self.steps, "the samples held out")
        return {"loss": loss / count, **({"top1": right / count} if scored else {})}

    def _is_over(self) -> bool:
        """Patience has run out."""
        return bool(self.settings.patience) and self.epoch - 1 - self.best_epoch >= self.settings.patience

    # ------------------------------------------------------------------ checkpoints

    def _save(self) -> None:
        from accelerate.utils import gather_object

        generators = gather_object([randomness.states()]) if self.world > 1 else [randomness.states()]
        sums = gather_object([self.sums]) if self.world > 1 else [self.sums]
        if self.rank != 0:
            return
        tensors = {f"student/{k}": v for k, v in files.tensors_of(self.student).items()}
        tensors |= {f"optimizer/{k}": v for k, v in files.optimizer_tensors(self.optimizer).items()}
        tensors |= {f"best/{k}": v for k, v in self.best.items()}
        tensors |= {f"rule/{k}": v for k, v in self.rule.tensors().items()}
        facts = {
            "epoch": self.epoch,
            "step": self.step,
            "sums": sums,
            "epochs": [epoch.as_dict() for epoch in self.epochs],
            "best_epoch": self.best_epoch,
            "generators": generators,
        }
        assert self.folder is not None
        Checkpoint(self.key, tensors, facts).save(self.folder)

    def _resume(self) -> dict[str, Any] | None:
        """Takes up what an earlier run left; the states of the generators where it stopped within an epoch."""
        found = None if self.folder is None else Checkpoint.load(self.folder, self.key)
        if found is None:
            return None
        facts = found.facts
        if len(facts["generators"]) != self.world:
            raise UsageError(
                f"the training was begun by {len(facts['generators'])} process(es), and goes on with {self.world}",
                where=self.folder,
                hint="start as many, or remove the folder to start anew",
            )
        files.put_back(self.student, found.part("student"))
        files.restore_optimizer(self.optimizer, found.part("optimizer"))
        for name, tensor in self.rule.tensors().items():
            tensor.copy_(found.part("rule")[name])
        self.best = {name: tensor.to(self.device) for name, tensor in found.part("best").items()}
        self.epoch, self.step, self.sums = facts["epoch"], facts["step"], dict(facts["sums"][self.rank])
        self.epochs = [Epoch(**epoch) for epoch in facts["epochs"]]
        self.best_epoch = facts["best_epoch"]
        self.resumed_from = self.epoch * self.steps + self.step
        generators: dict[str, Any] = facts["generators"][self.rank]
        return generators if self.step else None


def _key(graph: Graph, samples: Samples, settings: Training, objective: Objective, rule: WeightRule) -> str:
    """What a checkpoint must have been made of to be taken up."""
    goal = f"{type(objective).__qualname__}{objective.watches}{getattr(objective, 'identity', '')}{rule.identity}"
    if getattr(objective, "draws", 1) > 1:  # which the same data may grant as a Dataset, and not as a loader
        goal += f"{draws_of(objective, samples)} draws"
    return hashlib.sha256(f"{graph_digest(graph)}{settings!r}{samples.identity}{goal}".encode()).hexdigest()
