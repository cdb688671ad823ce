"""``edgekit init``: a first edgekit.toml, with every key explained."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.config import CONFIG_NAME
from edgekit.errors import OutputError, UsageError

TEMPLATE = """\
# What `edgekit build` does in this folder. Paths are relative to this file. A line that begins with # shows a default or
# an example; remove the # to use it.

model = "model:build"            # package.module:callable, or a .pt2, .onnx, .tflite, .keras, .h5 or .ekg file
targets = ["tflite-fp32"]        # `edgekit targets` lists them; int8 targets need calibration data
# weights = "weights.pt"         # a state_dict for a model given as a callable
# name = "model"                 # of the artifact
# device = "wear-w5"             # its budget becomes binding
# output = "edgekit-out"         # with [output.NAME] tables below: [output] folder = "edgekit-out"
# train = "train.npz"            # inputs and labels for [[recipe]]: .npz, or a callable (arrays, Dataset, DataLoader)
# calibration = "train.npz"      # inputs (stacked samples), or package.module:callable
# evaluate = "test.npz"          # inputs and labels, or a callable predict -> {metric: value}
# max_drop = 1.0                 # percentage points that the first metric may lose; beyond it nothing is written
# labels = "labels.txt"          # names of the classes, one a line
# batch = 1                      # of TFLite files
# io = "float32"                 # float32, int8 or uint8: type of the artifact's inputs and outputs
# io_layout = "channels_last"    # or "source"
# exits = "staged"               # early exits as one file a stage too, with the code of hosts that run them

# [input.x]                      # one table for each input, by its name in the model
# shape = [1, 3, 32, 32]         # batch first
# dtype = "float32"
# scale = 255                    # raw values become (value / scale - mean) / std inside the artifact
# mean = [0.485, 0.456, 0.406]
# std = [0.229, 0.224, 0.225]
# layout = "NHWC"                # order of axes of the raw data, where it is not the model's
# io = "uint8"                   # for this input only

# [quantization]
# observer = "min_max"           # or "moving_average", "percentile", "mse", "entropy", "output_error", "auto"
# percentile = 0.99999           # with observer = "percentile"
# bias_correction = true
# budget = { bytes = 200_000 }   # a precision for every layer; or { min_sqnr_db = 25 }, or { max_drop = 1.0 } points of top-1;
#                                instead, fallback = { max_drop = 0.5 }: float for the layers that cost most
# allow_slower = true            # with a budget: 4-bit weights and float layers, which runtimes compute slower than int8
# pointwise = "linear"           # 1x1 convolutions with 4-bit weights as linear layers: other kernels, docs/precisions.md
# layers = { "layer3.0.conv1" = { weights = "int4" } }   # or activations = "int16" or "float32"; by weight or module
# rounding = "adaround"          # learned, some seconds a layer; "nearest" by default
# rounding_iterations = 1000     # with rounding = "adaround"
# equalize = true                # equal ranges for the channels of consecutive layers
# replace_relu6 = true           # with equalize: relu6 becomes relu, which changes the function
# absorb_bias = true             # with equalize: high biases move into the next layer
# sensitivity = true             # report what quantising each layer alone does

# [training]                     # what every training of the recipe has where its step says nothing else
# optimizer = "adamw"            # and all other keys of docs/training.md
# lr = 1e-3

# [[recipe]]                     # compression steps, in order, before all targets (docs/recipes.md)
# step = "prune"                 # prune, fine_tune, separable, low_rank ...
# macs = 0.5                     # keep half the multiply-accumulates; or ratio, parameters, bytes
# rounds = 3                     # judge, remove a little, train, three times
# epochs = 2                     # of each of these trainings
# training = { lr = 1e-3, batch_size = 64, augment = "flip_crop" }
# distillation = { temperature = 4.0, alpha = 0.9 }

# [[recipe]]
# step = "fine_tune"
# epochs = 20

# [baseline]
# report = "baseline/summary.json"
# max_growth = "2%"
"""


@click.command()
@click.option("--force", is_flag=True, help="Overwrite the file that is there.")
def init(force: bool) -> None:
    """Write a commented edgekit.toml into this folder."""
    path = Path.cwd() / CONFIG_NAME
    if path.exists() and not force:
        raise UsageError(f"{CONFIG_NAME} exists already", where=path, hint="--force overwrites it")
    try:
        path.write_text(TEMPLATE, encoding="utf-8")
    except OSError as error:
        hint = "run it in the folder of the model, which must be writable"
        raise OutputError(f"cannot write {CONFIG_NAME}: {error.strerror}", where=path, hint=hint) from None
    click.echo(f"wrote {path}")
