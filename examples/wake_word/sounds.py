"""Sounds to learn from, and their spectra frame by frame.

A chime of three rising tones stands for the wake word: put recordings of your own in place of `sound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

RATE = 8000
HOP, LENGTH = 160, 256  # samples: a frame of 32 ms every 20 ms
FRAMES, BANDS = 50, 20
WINDOW = (FRAMES - 1) * HOP + LENGTH
CHIME = (600.0, 900.0, 1350.0)

_EDGES = np.round(np.geomspace(4, LENGTH // 2, BANDS + 1)).astype(int)
_EDGES = np.maximum(_EDGES, _EDGES[0] + np.arange(BANDS + 1))


def spectra(signal: Array) -> Array:
    """(frames, 20): the logarithm of the energy in each band, of every frame that the signal fills."""
    count = (len(signal) - LENGTH) // HOP + 1
    frames = np.stack([signal[HOP * i : HOP * i + LENGTH] for i in range(count)]) * np.hanning(LENGTH)
    energy = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    bands = np.stack([energy[:, a:b].mean(1) for a, b in pairwise(_EDGES)], 1)
    return (np.log(bands + 1e-3) / 4).astype(np.float32)


def tones(frequencies: Sequence[float], seconds: float, loudness: float) -> Array:
    """Tones one after the other, each rising and falling."""
    time = np.arange(int(RATE * seconds)) / RATE
    shape = np.sin(np.pi * time / seconds) ** 0.5
    return np.concatenate([loudness * shape * np.sin(2 * np.pi * f * time) for f in frequencies]).astype(np.float32)


def sound(random: np.random.Generator, *, is_chime: bool) -> Array:
    """A chime at some pitch and speed, or other tones (a chime's in another order among them), at some loudness."""
    pitch, seconds, loudness = random.uniform(0.9, 1.1), random.uniform(0.12, 0.18), random.uniform(0.2, 0.6)
    if is_chime:
        return tones([pitch * f for f in CHIME], seconds, loudness)
    order = [(2, 1, 0), (0, 2, 1), (1, 0, 2), (0, 0, 0), (2, 1, 2)][random.integers(5)]
    chosen = [CHIME[i] for i in order] if random.random() < 0.6 else random.uniform(300, 2500, random.integers(1, 4))
    return tones([pitch * f for f in chosen], seconds, loudness)


def window(random: np.random.Generator, *, is_chime: bool) -> Array:
    """(50, 20): noise with a sound that ends near the end of the window; a third of what is no chime is noise alone."""
    signal = (random.uniform(0.01, 0.05) * random.standard_normal(WINDOW)).astype(np.float32)
    if is_chime or random.random() < 2 / 3:
        heard = sound(random, is_chime=is_chime)
        start = WINDOW - len(heard) - random.integers(0, 1600)
        signal[start : start + len(heard)] += heard
    return spectra(signal)


def windows(count: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """(count, 1, 50, 20) and labels: every other one is a chime."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return np.stack([window(random, is_chime=bool(label)) for label in labels])[:, None], labels


def scene(seconds: int, chimes: Sequence[float], seed: int) -> Array:
    """Noise with other sounds every two seconds, and a chime at each of the given moments (in seconds)."""
    random = np.random.default_rng(seed)
    signal = (0.02 * random.standard_normal(RATE * seconds)).astype(np.float32)
    moments = [(second + 0.2, False) for second in range(1, seconds - 1, 2)] + [(moment, True) for moment in chimes]
    for moment, is_chime in moments:
        heard, start = sound(random, is_chime=is_chime), int(RATE * moment)
        signal[start : start + len(heard)] += heard[: len(signal) - start]
    return signal
