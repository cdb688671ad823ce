"""What the artifacts are held to, and what other converters' files of the same networks reach.

Figures of others were measured once, on the same networks and runtime: TensorFlow's converter (whose files lie in the folder of
data and are measured again in every run), litert-torch 0.10 with litert-quantizer 0.11, TinyNeuralNetwork (2026-03), onnx2tf
2.6.9 and ONNX Runtime 1.31. Only the best is listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Instructions may exceed the best other file's by this factor.
INSTRUCTIONS = 1.001

#: Latency may exceed TensorFlow's file's by this factor.
LATENCY = 1.02

#: Share of the output's integers that the simulation must give exactly as the reference kernels, and the most steps between.
EQUAL_INTEGERS, STEPS_APART = 0.99, 2.0

#: Operators that a file of these networks does not need.
LEFTOVERS = ("TRANSPOSE", "QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True)
class Bars:
    """The bars of one network; None where there is none.

    Attributes:
        size: bytes of ``tflite-int8``, signature and metadata included.
        micro_size: bytes of ``tflm-int8``.
        ops: operators of ``tflite-int8``.
        pads: PAD operators: none with TensorFlow's padding; torch's needs one for each convolution with a stride.
        sqnr: dB of the logits on held-out samples, int8 against float: the best other converter's.
        agreement: share of held-out samples with the source's label.
        instructions: the best other file's instructions by core, where TensorFlow's file of the network is not at hand.
        below_peer: by how many instructions the best other file undercuts TensorFlow's.
    """

    size: int | None = None
    micro_size: int | None = None
    ops: int | None = None
    pads: int | None = None
    sqnr: float | None = None
    agreement: float | None = None
    instructions: Mapping[str, int] = field(default_factory=dict)
    below_peer: int = 0


BARS = {
    "resnet8": Bars(size=86_200, ops=16, pads=0, sqnr=28.9, below_peer=27),
    "dscnn": Bars(size=33_000, ops=13, pads=0, sqnr=22.7, below_peer=384),
    "mbv1_025": Bars(size=252_800, ops=31, pads=0, sqnr=22.6),
    "fcae": Bars(size=276_976, micro_size=274_100, ops=10, pads=0, sqnr=34.9),
    "resnet20": Bars(
        size=286_500, ops=36, sqnr=30.5, agreement=0.9915, instructions={"cortex-a53": 16_271_795, "cortex-a76": 4_803_692}
    ),
    "mbv2": Bars(size=3_977_256, ops=71, instructions={"cortex-a53": 131_930_236, "cortex-a76": 49_176_884}),
    "vit": Bars(instructions={"cortex-a53": 15_020_546, "cortex-a76": 5_954_697}),
}
