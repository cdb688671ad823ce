"""What the keyword spotter hears: the same word of another loudness is the same, and another voice is a matrix away."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import voices

SAMPLES = 8000


def spoken(formants: tuple[float, ...] = (600.0, 1400.0, 2400.0)) -> np.ndarray:  # type: ignore[type-arg]
    """(1, 8000): noise that rings at three frequencies, louder in the middle."""
    noise = np.fft.rfft(np.random.default_rng(0).standard_normal(SAMPLES))
    at = np.fft.rfftfreq(SAMPLES, 1 / 8000)
    ring = sum(1 / (1 + ((at - f) / 120.0) ** 2) for f in formants)
    return (1000 * np.fft.irfft(noise * ring) * np.hanning(SAMPLES))[None]


def test_loudness_and_the_sound_of_a_room_say_nothing() -> None:
    found = voices.cepstra(spoken())
    assert found.shape == (1, 1, voices.FRAMES, voices.CEPSTRA) and found.dtype == np.float32
    np.testing.assert_allclose(voices.cepstra(7 * spoken()), found, atol=1e-5)
    room = voices.cepstra(spoken((600.0, 1400.0, 3300.0)))
    loud = slice(15, 35)
    assert np.abs(room - found)[:, :, loud].mean() < 0.35  # the constant part is taken away, whatever the formants


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_a_tract_moves_formants(factor: float) -> None:
    moving = np.concatenate([spoken((400.0, 1000.0, 2200.0))[:, :4000], spoken((700.0, 1700.0, 2700.0))[:, 4000:]], axis=1)
    steady = (400.0, 1000.0, 2200.0), (700.0, 1700.0, 2700.0)
    other = [spoken(tuple(f * factor for f in formants)) for formants in steady]
    there = voices.cepstra(np.concatenate([other[0][:, :4000], other[1][:, 4000:]], axis=1))[0, 0]
    here = voices.cepstra(moving)[0, 0]
    tracts = voices._tracts().numpy()
    factors = np.exp(np.linspace(-voices._TRACT, voices._TRACT, len(tracts)))
    errors = [float(np.square(here @ tract - there).mean()) for tract in tracts]
    best = factors[int(np.argmin(errors))]
    assert best * factor == pytest.approx(1.0, abs=0.06)  # band i hears what stood at its frequency times the tract's factor
    assert min(errors) < 0.5 * errors[len(errors) // 2]


def test_the_middle_tract_changes_nothing() -> None:
    middle = voices._tracts()[voices._TRACTS // 2]
    torch.testing.assert_close(middle, torch.eye(voices.CEPSTRA), atol=1e-6, rtol=0)


def test_variations_follow_their_generator_and_differ_from_each_other() -> None:
    batch = torch.from_numpy(voices.cepstra(np.repeat(spoken(), 4, axis=0)))
    made = voices.varied(batch, torch.Generator().manual_seed(3))
    assert made.shape == batch.shape
    assert torch.equal(made, voices.varied(batch, torch.Generator().manual_seed(3)))
    assert not torch.equal(made[0], made[1])
