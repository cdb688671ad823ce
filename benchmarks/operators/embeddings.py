"""Embeddings and other look-ups."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.operators.row import function, index, layer, refused

ROWS = (
    layer("nn.Embedding", lambda i: nn.Embedding(20, 6), index(7, below=20)),
    layer("nn.Embedding, padding_idx", lambda i: nn.Embedding(20, 6, padding_idx=0), index(7, below=20)),
    layer("nn.Embedding and nn.Linear", lambda i: nn.Sequential(nn.Embedding(20, 6), nn.Linear(6, 5)), index(7, below=20)),
    function("F.one_hot", lambda i: F.one_hot(i, 8), index(5, below=8)),
    function("table[indices]", lambda i: torch.linspace(-1, 1, 60).reshape(20, 3)[i], index(7, below=20)),
    refused("nn.EmbeddingBag", nn.EmbeddingBag(20, 6), "embedding_bag", index(7, below=20)),
)
