"""Feed a recording to the built stream, two frames at a time, and say when the wake word was heard."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import edgekit as ek
from examples.wake_word.sounds import HOP, LENGTH, RATE, Array, scene, spectra

ARTIFACT = Path(__file__).parent / "edgekit-out" / "tflite-int8" / "wake_word.tflite"

#: How sure the network must be, and for how many seconds it is not asked again after it was.
SURE, PAUSE = 0.95, 1.0


def heard(artifact: str | Path, signal: Array) -> list[float]:
    """The moments, in seconds, at which the wake word had been said."""
    stream = ek.Stream(artifact)
    frames, hop = spectra(signal), stream.record.hop
    moments: list[float] = []
    for start in range(0, len(frames) - hop + 1, hop):
        (scores,) = stream.push(frames[None, None, start : start + hop])
        now = ((start + hop - 1) * HOP + LENGTH) / RATE
        if stream.calls < stream.record.outputs[0].ready or (moments and now - moments[-1] < PAUSE):
            continue
        certainty = 1 / (1 + np.exp(scores[0, 0] - scores[0, 1]))
        if certainty > SURE:
            moments.append(float(now))
    return moments


def main() -> int:
    """Listen to twelve seconds with three chimes in them."""
    if not ARTIFACT.is_file():
        print("nothing is built yet: python -m examples.wake_word.train, then edgekit build in examples/wake_word")
        return 2
    said = [2.3, 6.1, 10.2]
    print(f"said at  {', '.join(f'{moment:.1f}' for moment in said)} s")
    print(f"heard at {', '.join(f'{moment:.1f}' for moment in heard(ARTIFACT, scene(12, said, seed=3)))} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
