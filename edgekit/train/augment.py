"""Augmentation of a batch, after declared preprocessing and in the graph's order of axes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from edgekit.config import is_reference
from edgekit.errors import InputError, UsageError
from edgekit.ir import Graph
from edgekit.ir.channel_axis import channel_axis
from edgekit.reference import call, load_reference

#: Inputs of a batch and a generator in, such inputs out.
Augmentation = Callable[[list[Tensor], torch.Generator], list[Tensor]]


def augmentation(name: str, graph: Graph, root: Path | None = None) -> Augmentation | None:
    """What ``Training.augment`` names; None for "none".

    Args:
        name: "none", "flip_crop" or a callable's name.
        graph: the student.
        root: folder that a callable is imported from.

    Raises:
        UsageError: flip_crop of a graph without images.
        InputError: the callable can't be imported.
    """
    if name == "none":
        return None
    if is_reference(name):
        return _users(name, root or Path.cwd())
    images = [index for index, value in enumerate(graph.inputs) if value.type.rank == 4 and value.type.is_float]
    if not images:
        raise UsageError(
            "'flip_crop' is for images, and the model takes none",
            where=", ".join(f"input '{v.name}' {v.type}" for v in graph.inputs),
            hint='augment = "none", or "package.module:callable"',
        )

    last = {index for index in images if channel_axis(graph.inputs[index]) == 3}

    def apply(inputs: list[Tensor], generator: torch.Generator) -> list[Tensor]:
        changed = list(inputs)
        for index in images:
            image = inputs[index].permute(0, 3, 1, 2) if index in last else inputs[index]
            made = flip_crop(image, generator)
            changed[index] = made.permute(0, 2, 3, 1) if index in last else made
        return changed

    return apply


def flip_crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image is mirrored with probability 1/2, padded with zeros by an eighth and cropped at a random place.

    The usual augmentation of CIFAR-10 (He et al. 2016, arXiv:1512.03385, section 4.2: 4 pixels of 32).

    Args:
        images: (batch, channels, height, width).
        generator: on the CPU.
    """
    count, _, height, width = images.shape
    up, left = max(height // 8, 1), max(width // 8, 1)
    mirrored = torch.rand(count, generator=generator) < 0.5
    rows = torch.randint(0, 2 * up + 1, (count, 1), generator=generator) + torch.arange(height)
    columns = torch.randint(0, 2 * left + 1, (count, 1), generator=generator) + torch.arange(width)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = torch.nn.functional.pad(images, (left, left, up, up))
    at = torch.arange(count)[:, None, None]
    # Indexing puts the channels last; they are moved back.
    return padded[at, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _users(name: str, root: Path) -> Augmentation:
    function = load_reference(name, root)

    def apply(inputs: list[Tensor], generator: torch.Generator) -> list[Tensor]:
        made = call(function, inputs[0] if len(inputs) == 1 else inputs, generator, what=f"'{name}'", root=root)
        changed = [made] if isinstance(made, Tensor) else list(made) if isinstance(made, tuple | list) else []
        if [getattr(x, "shape", None) for x in changed] != [x.shape for x in inputs]:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise InputError(
                "the augmentation did not return such a batch as it got",
                where=name,
                hint=f"return tensors of the shapes that came in: {shapes}",
            )
        return [x.to(before.dtype) for x, before in zip(changed, inputs, strict=True)]

    return apply
