"""The rule of weights that may still change to another of the shared values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.compress.cluster.codebooks import Codebook
from edgekit.ir import Graph


class _Latent:
    """One constant: free weights behind it, of which each takes the nearest of the values."""

    def __init__(self, tensor: Tensor, codebook: Codebook) -> None:
        self.tensor = tensor
        self.places = torch.nonzero(codebook.labels.reshape(-1) >= 0).flatten()
        self.free = tensor.detach().reshape(-1).cpu()[self.places]
        self.values = nn.Parameter(codebook.values.to(tensor.dtype))
        self.labels = torch.zeros_like(self.places)

    def split_gradient(self) -> None:
        """Of the shared weights: its sum over a value's members for the value, and each member's for its free weight."""
        self._put(self.tensor, self.free)
        grad = self.tensor.grad
        if grad is None:
            self.values.grad = None
            return
        members = grad.reshape(-1)[self.places]
        self.values.grad = torch.zeros_like(self.values).index_add_(0, self.labels, members)
        self._put(grad, members)

    def take_free(self) -> None:
        """What the optimizer made of the free weights."""
        self.free.copy_(self.tensor.detach().reshape(-1)[self.places])

    def share(self) -> None:
        """Each weight gets the nearest value. Free weights end half a step beyond the values, or some would never return."""
        values = self.values.detach()
        values.copy_(values.sort().values)
        if len(values) > 1:
            self.free.clamp_((3 * values[0] - values[1]) / 2, (3 * values[-1] - values[-2]) / 2)
        self.labels = torch.bucketize(self.free, (values[1:] + values[:-1]) / 2)
        self._put(self.tensor, values[self.labels])

    def _put(self, tensor: Tensor, content: Tensor) -> None:
        """Content for the places, zeros elsewhere; through a copy, because no view is flat where channels come last."""
        flat = torch.zeros(tensor.numel(), dtype=tensor.dtype, device=tensor.device)
        flat[self.places] = content
        tensor.copy_(flat.view(tensor.shape))

    def to(self, device: torch.device) -> None:
        for name in ("places", "free", "labels"):
            setattr(self, name, getattr(self, name).to(device))
        self.values.data = self.values.data.to(device)  # the same parameter, which the optimizer has


class Moving:
    """Weights that share their values, each the nearest one to a free weight that the optimizer moves.

    A ``WeightRule``. Forward and backward pass see the shared values. Of their gradient a value gets the sum over its members,
    as in Deep Compression, and the free weight behind each member that member's own, as it is: the straight-through estimator
    (Bengio et al., arXiv:1308.3432).
    """

    def __init__(self, graph: Graph, codebooks: Mapping[str, Codebook]) -> None:
        """The rule for a graph; its weights get the values of their codebooks.

        Args:
            graph: the one that is trained.
            codebooks: by the names in ``graph.state``, each one for its whole layer, without units.
        """
        digest = hashlib.sha256(b"moving")
        self._latents: dict[str, _Latent] = {}
        for name, codebook in sorted(codebooks.items()):
            digest.update(name.encode() + codebook.labels.numpy().tobytes() + codebook.values.numpy().tobytes())
            self._latents[name] = _Latent(graph.state[name].tensor, codebook)
        self._stepping = False
        #: Tells this rule from others, for checkpoints.
        self.identity = digest.hexdigest()

    @property
    def trained(self) -> tuple[nn.Parameter, ...]:
        """What the optimizer moves beside the graph's parameters: the values."""
        return tuple(latent.values for latent in self._here())

    def begin(self) -> None:
        """Nothing: between steps the weights are the shared values."""

    @torch.no_grad()
    def gradients(self) -> None:
        """Gives values and free weights their gradients, and puts the free weights where the optimizer moves them."""
        for latent in self._here():
            latent.split_gradient()
        self._stepping = True

    @torch.no_grad()
    def weights(self) -> None:
        """Takes back what the optimizer moved, and shares the values anew."""
        for latent in self._here():
            if self._stepping:
                latent.take_free()
            latent.share()
        self._stepping = False

    def tensors(self) -> dict[str, Tensor]:
        """The free weights, the values and which one each weight has; the graph holds none of them."""
        names = ("free", "values", "labels")
        return {f"{kind}/{name}": getattr(latent, kind).detach() for name, latent in self._latents.items() for kind in names}

    def _here(self) -> list[_Latent]:
        """Where the weights are now: they move once, when a training begins."""
        for latent in self._latents.values():
            if latent.places.device != latent.tensor.device:
                latent.to(latent.tensor.device)
        return list(self._latents.values())
