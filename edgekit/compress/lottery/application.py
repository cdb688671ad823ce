"""What the step ``lottery_ticket`` does: train, mask, rewind, again; then the controls."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from edgekit.compress.context import Context
from edgekit.compress.lottery.step import LotteryTicket
from edgekit.compress.lottery.variants import SHARED_VALUES, masked, one_value, same_sign, signed_constants
from edgekit.compress.recording import recorded
from edgekit.compress.scoring import score
from edgekit.compress.sparsify.application import NOT_FASTER
from edgekit.compress.sparsify.ranking import masks
from edgekit.compress.sparsify.weights import find_weights
from edgekit.data import Data
from edgekit.errors import UsageError
from edgekit.ir import Graph
from edgekit.train.fresh import untrained
from edgekit.train.loop import train
from edgekit.train.randomness import mixed
from edgekit.train.settings import Training


def lottery_ticket(step: LotteryTicket, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``LotteryTicket.apply``."""
    if not isinstance(data, Data) or data.evaluate is None:
        raise UsageError(
            "'lottery_ticket' compares accuracies, and there is nothing to measure them with",
            where="lottery_ticket",
            hint="edgekit.Data(train=..., evaluate=(x_test, y_test)), or evaluate in edgekit.toml",
        )
    started = time.perf_counter()
    search = _Search(step, graph, data, context)
    ticket = search.run()
    details = search.details
    warnings = [NOT_FASTER]
    rows = details["trained"]
    if "reinit" in rows and "top1" in rows["reinit"] and rows["reinit"]["top1"] >= rows["ticket"]["top1"]:
        warnings.append(
            f"the ticket ({rows['ticket']['top1']:.4f}) is no better than its mask with other initial weights "
            f"({rows['reinit']['top1']:.4f}): its initialisation wins nothing here"
        )
    ticket.source = graph.source
    said = tuple(warnings)
    return recorded("lottery_ticket", step, graph, ticket, started, declined=search.declined, warnings=said, details=details)


class _Search:
    """One search in progress."""

    def __init__(self, step: LotteryTicket, graph: Graph, data: Data, context: Context) -> None:
        self.step, self.given, self.data, self.context = step, graph, data, context
        chosen, self.declined = find_weights(graph, step.layers, step.keep)
        self.names = list(chosen)
        self.last = _last(graph, self.names)
        self.settings = replace(step.training or Training(), epochs=step.epochs)
        self.details: dict[str, Any] = {"trained": {}, "rounds": [], "trainings": {}}

    def run(self) -> Graph:
        """The trained ticket; fills ``details``."""
        step = self.step
        first = untrained(self.given, step.seed) if step.fresh else copy.deepcopy(self.given)
        begin = self._early(first, {}, "early")
        dense = trained = self._trained(begin, {}, "dense")
        self.details["trained"]["dense"] = self._metrics(dense)
        alive: dict[str, Tensor] = {}
        for number in range(1, step.rounds + 1):
            dead = {name: ~mask for name, mask in alive.items()}
            weights, shares = _weights(trained, self.names), self._shares(number)
            for name in self.names:
                alive |= masks({name: weights[name]}, shares[name], over_all=False, dead=dead)
            trained = self._trained(begin, alive, f"round-{number}")
            self.details["rounds"].append({"sparsity": _sparsity(alive), **self._metrics(trained)})
        self.details["trained"]["ticket"] = self._metrics(trained)
        self.details["sparsity"] = _sparsity(alive)
        self.details["zeros"] = {name: [int((~mask).sum()), mask.numel()] for name, mask in alive.items()}
        self._controls(first, begin, dense, alive)
        return trained

    def _controls(self, first: Graph, begin: Graph, dense: Graph, alive: Mapping[str, Tensor]) -> None:
        step, rows = self.step, self.details["trained"]
        if "reinit" in step.controls:
            other = untrained(self.given, mixed(step.seed, "other ticket"))
            rows["reinit"] = self._metrics(self._trained(self._early(other, alive, "reinit-early"), alive, "reinit"))
        if "signs" in step.controls:
            rows["signs"] = self._metrics(self._trained(signed_constants(begin, self.names), alive, "signs"))
        if "supermask" in step.controls:
            self.details["supermask"] = self._supermasks(first, dense, alive)
        if "one_weight" in step.controls:
            shared = {value: masked(one_value(first, self.names, value), alive) for value in SHARED_VALUES}
            self.details["one_weight"] = [{"value": value, **self._metrics(net)} for value, net in shared.items()]

    def _supermasks(self, first: Graph, dense: Graph, alive: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """Untrained networks: without a mask, with the ticket's, and with signs' masks at each round's share."""
        rows = [{"mask": "none", "sparsity": 0.0, **self._metrics(first)}]
        rows.append({"mask": "ticket", "sparsity": _sparsity(alive), **self._metrics(masked(first, alive))})
        constants = signed_constants(first, self.names)
        begin, end = _weights(first, self.names), _weights(dense, self.names)
        for number in range(1, self.step.rounds + 1):
            signs = same_sign(begin, end, self._shares(number))
            row = {"sparsity": _sparsity(signs)}
            rows.append({"mask": "same sign", **row, **self._metrics(masked(first, signs))})
            rows.append({"mask": "same sign, constants", **row, **self._metrics(masked(constants, signs))})
        return rows

    def _shares(self, number: int) -> dict[str, float]:
        return {name: self.step.share(number, output=name == self.last) for name in self.names}

    def _early(self, graph: Graph, alive: Mapping[str, Tensor], place: str) -> Graph:
        """The state that trainings start from."""
        return self._trained(graph, alive, place, self.step.rewind) if self.step.rewind else graph

    def _trained(self, graph: Graph, alive: Mapping[str, Tensor], place: str, epochs: int | None = None) -> Graph:
        settings = self.settings if epochs is None else replace(self.settings, epochs=epochs)
        around = self.context.inside(place)
        folder, say, root = around.folder, around.say, around.root
        trained = train(graph, self.data, settings, folder=folder, say=say, root=root, alive=alive)
        self.details["trainings"][place] = trained.details()
        return trained.graph

    def _metrics(self, graph: Graph) -> dict[str, float]:
        return score(graph, self.data.evaluate, self.context.root)


def _weights(graph: Graph, names: list[str]) -> dict[str, Tensor]:
    return {name: graph.state[name].tensor.detach() for name in names}


def _sparsity(alive: Mapping[str, Tensor]) -> float:
    return 1 - sum(int(torch.count_nonzero(m)) for m in alive.values()) / sum(m.numel() for m in alive.values())


def _last(graph: Graph, names: list[str]) -> str:
    """The weight that is read last: the output layer's."""
    place = {id(value): index for index, node in enumerate(graph.nodes) for value in node.inputs if value is not None}
    return max(names, key=lambda name: place.get(id(graph.state[name]), -1))
