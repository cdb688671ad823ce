"""Spoken words as a network takes them: mel cepstra, and variations of them that sound like other voices.

Scaled cepstra are linear in the logarithm of the mel spectrum, and so is what a vocal tract of another length makes of them:
each variation is a small matrix, and training hears another voice of every recording in every epoch.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

FRAMES, CEPSTRA = 49, 10

_RATE, _MELS = 8000, 40
_SIZE, _HOP = _RATE // 25, _RATE // 50

#: What cepstra are divided by, so that all spread about as much as one: a falling curve that fits speech.
_SPREAD = 10.5 / (1.0 + np.arange(CEPSTRA)) ** 0.95

#: Variations: frames earlier or later, speed and length of the vocal tract by a factor up to e^this, and by how much each
#: cepstrum is scaled and moved (a standard deviation).
_SHIFT, _SPEED, _TRACT, _TIMBRE = 6.0, 0.5, 0.2, 0.35
_TRACTS = 21


def cepstra(waves: Array) -> Array:
    """(N, 1, 49, 10) float32: the first mel cepstra of frames of 40 ms every 20 ms, of recordings (N, samples) at 8 kHz.

    Every recording is brought to the same loudness first, and silence to 20 dB below it; then the mean of its loud frames is
    taken from all of them. How near a microphone stood, and how a voice and a room sound, tells nothing about the word.
    """
    window = np.hanning(_SIZE)
    x = waves.astype(np.float64)
    x /= np.maximum(np.sqrt(np.square(x).mean(1, keepdims=True)), 1.0)
    x = np.pad(x, ((0, 0), (0, max(0, (FRAMES - 1) * _HOP + _SIZE - waves.shape[1]))))
    frames = np.stack([x[:, i * _HOP : i * _HOP + _SIZE] * window for i in range(FRAMES)], axis=1)
    bands = np.abs(np.fft.rfft(frames)) ** 2 @ _triangles().T
    energy = np.log(bands + 1e-2 * bands.mean((1, 2), keepdims=True))
    level = energy.mean(2, keepdims=True)
    loud = np.exp(level - level.max(1, keepdims=True))
    energy -= (energy * loud).sum(1, keepdims=True) / loud.sum(1, keepdims=True)
    return (energy @ _turns().T / _SPREAD)[:, None].astype(np.float32)


def varied(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Each recording spoken slower or faster, earlier or later, by a longer or shorter vocal tract of another timbre.

    Args:
        batch: (N, 1, 49, 10), of :func:`cepstra`. What a shift leaves open repeats the first or last frame.
        generator: of the variations.
    """
    count = len(batch)
    sound = _retimed(batch[:, 0], generator)
    sound = torch.bmm(sound, _tracts()[torch.randint(0, _TRACTS, (count,), generator=generator)])
    stretch = torch.randn(count, 1, CEPSTRA, generator=generator).mul(_TIMBRE).exp()
    return (sound * stretch + torch.randn(count, 1, CEPSTRA, generator=generator) * _TIMBRE)[:, None]


def mixed(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Variations, half of them with a share of another recording of the batch in them (mixup, arXiv:1710.09412).

    No label is right for these: they are for a student that learns what its teachers make of sounds that nobody recorded
    (arXiv:2106.05237), so that it is like them on voices too that neither has heard.
    """
    made, count = varied(batch, generator), len(batch)
    share = torch.rand(count, 1, 1, 1, generator=generator) * (torch.rand(count, 1, 1, 1, generator=generator) < 0.5)
    return made * (1 - share) + made[torch.randperm(count, generator=generator)] * share


def _retimed(sound: Tensor, generator: torch.Generator) -> Tensor:
    """(N, T, C) read at another speed from another place, between two frames in proportion."""
    count, length, _ = sound.shape
    speed = (torch.rand(count, 1, generator=generator) * 2 - 1).mul(_SPEED).exp()
    later = (torch.rand(count, 1, generator=generator) * 2 - 1) * _SHIFT
    at = ((torch.arange(length) - length / 2 + later) * speed + length / 2).clamp(0, length - 1)
    low = at.floor().long().clamp(max=length - 2)
    part, row = (at - low)[..., None], torch.arange(count)[:, None]
    return sound[row, low] * (1 - part) + sound[row, low + 1] * part


@cache
def _tracts() -> Tensor:
    """(21, 10, 10): what scaled cepstra are multiplied by, so that every formant stands at another frequency."""
    turns, centres = _turns(), _edges()[1:-1]
    found = []
    for factor in np.exp(np.linspace(-_TRACT, _TRACT, _TRACTS)):
        at = np.interp(np.clip(centres * factor, centres[0], centres[-1]), centres, np.arange(_MELS))
        move = np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(_MELS)))  # band i becomes band at[i]
        found.append((turns @ move @ turns.T * _SPREAD / _SPREAD[:, None]).T)
    return torch.from_numpy(np.stack(found)).float()


def _turns() -> Array:
    """(10, 40): the orthonormal cosine transform from bands to cepstra."""
    turns = np.cos(np.pi / _MELS * np.outer(np.arange(CEPSTRA), np.arange(_MELS) + 0.5)) * np.sqrt(2 / _MELS)
    turns[0] /= np.sqrt(2)
    return turns


def _edges() -> Array:
    """(42,): frequencies in Hz between which the bands stand, evenly spread on the mel scale from 20 Hz to half of the rate."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (20.0, _RATE / 2))
    return np.asarray(700 * (10 ** (np.linspace(low, high, _MELS + 2) / 2595) - 1))


def _triangles() -> Array:
    """(40, 161): the share of each frequency in each band."""
    edges, bins = _edges(), np.fft.rfftfreq(_SIZE, 1 / _RATE)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.maximum(0.0, np.minimum(up, down)))
