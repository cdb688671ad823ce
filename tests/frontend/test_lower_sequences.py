"""Attention and recurrent layers keep their function, and are single ops where the graph has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit import Unsupported
from edgekit.frontend.source import load
from edgekit.ir import ops
from tests.frontend.compare import assert_same, op_names

TOKENS = torch.randn(2, 7, 8)
HEADS = torch.randn(2, 4, 7, 8)

ATTENTION: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "plain": lambda q: F.scaled_dot_product_attention(q, q * 2, q),
    "causal": lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True),
    "scaled": lambda q: F.scaled_dot_product_attention(q, q, q, scale=0.2),
    "bool mask": lambda q: F.scaled_dot_product_attention(q, q, q, torch.ones(7, 7).tril().bool()),
    "float mask": lambda q: F.scaled_dot_product_attention(q, q, q, torch.linspace(-1, 1, 49).reshape(7, 7)),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_is_one_op(name: str) -> None:
    graph = assert_same(ATTENTION[name], HEADS)
    assert op_names(graph)[-1] == "attention" and len(graph.nodes) <= 2


def test_grouped_queries_repeat_keys_and_values() -> None:
    assert_same(lambda q: F.scaled_dot_product_attention(q, q[:, :2], q[:, 1:3], enable_gqa=True), HEADS)


def test_attention_with_dropout_in_inference_is_refused() -> None:
    with pytest.raises(Unsupported, match="drops at random in inference"):
        load(_Dropping(), (HEADS,))


class _Dropping(nn.Module):
    def forward(self, q: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, q, q, dropout_p=0.1)


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, options of the layer and of the call apart."""

    def __init__(self, call: dict[str, Any] | None = None, **layer: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, **{"batch_first": True, **layer})
        self.call = call or {}

    def forward(self, x: torch.Tensor) -> Any:
        return self.attention(x, x, x, **self.call)


MASK = torch.triu(torch.ones(7, 7), 1).bool()
MULTIHEAD: dict[str, Callable[[], nn.Module]] = {
    "with weights": lambda: SelfAttention(),
    "with weights per head": lambda: SelfAttention({"average_attn_weights": False}),
    "without weights": lambda: SelfAttention({"need_weights": False}),
    "masked": lambda: SelfAttention({"attn_mask": MASK}),
    "masked by numbers": lambda: SelfAttention({"attn_mask": torch.linspace(-1, 1, 49).reshape(7, 7), "need_weights": False}),
    "causal": lambda: SelfAttention({"attn_mask": MASK, "is_causal": True, "need_weights": False}),
    "causal with weights": lambda: SelfAttention({"attn_mask": MASK, "is_causal": True}),
    "without bias": lambda: SelfAttention(bias=False),
    "with bias of keys": lambda: SelfAttention(add_bias_kv=True),
    "with a zero key": lambda: SelfAttention(add_zero_attn=True),
}


@pytest.mark.parametrize("name", MULTIHEAD)
def test_multihead_attention_keeps_its_function(name: str) -> None:
    assert_same(MULTIHEAD[name](), TOKENS, tolerance=2e-6)


def test_multihead_attention_with_time_first_keeps_its_function() -> None:
    module = SelfAttention(batch_first=False)
    assert_same(module, torch.randn(7, 1, 8), axes=[1], batch_axes={"x": 1}, tolerance=2e-6)


class CrossAttention(nn.Module):
    def __init__(self, **layer: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **layer)
        self.width = layer.get("kdim", 8)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        keys = memory[..., : self.width]
        values = keys if self.width == 8 else memory[..., :6]
        return self.attention(x, keys, values, key_padding_mask=memory[..., 0] > 1.2)[0]


@pytest.mark.parametrize("layer", [{}, {"kdim": 5, "vdim": 6}])
def test_cross_attention_keeps_its_function(layer: dict[str, int]) -> None:
    assert_same(CrossAttention(**layer), TOKENS, torch.randn(2, 5, 8), tolerance=2e-6)


def test_a_multihead_layer_is_a_product_an_attention_and_a_product() -> None:
    class Layer(SelfAttention):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x)[0]

    graph = assert_same(Layer(dropout=0.2), TOKENS)
    names = op_names(graph)
    assert names.count("linear") == 2 and names.count("attention") == 1 and "softmax" not in names
    assert all(node.op.dims == (0, 2, 1, 3) for node in graph.nodes if isinstance(node.op, ops.Permute))
    (attention,) = [node.op for node in graph.nodes if isinstance(node.op, ops.Attention)]
    assert attention.dropout == 0.2
    assert graph.outputs[0].name == "attention"


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "norm last": lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
    "norm first": lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu"),
    "encoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, nn.LayerNorm(8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_transformer_encoders_keep_their_function(name: str) -> None:
    torch.backends.mha.set_fastpath_enabled(False)  # the oracle is the plain path
    try:
        assert_same(LAYERS[name](), TOKENS, tolerance=5e-6)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


def test_a_frozen_encoder_is_not_traced_through_the_fused_path() -> None:
    module = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval().requires_grad_(False)
    graph = load(module, (TOKENS,))
    torch.testing.assert_close(graph.module().eval()(TOKENS), module(TOKENS), atol=5e-6, rtol=5e-6)
    assert torch.backends.mha.get_fastpath_enabled()


def test_an_encoder_with_a_causal_mask_keeps_its_function() -> None:
    class Causal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
            return self.encoder(x, mask=mask, is_causal=True)

    assert_same(Causal(), TOKENS, tolerance=5e-6)


def test_a_whole_transformer_keeps_its_function() -> None:
    assert_same(nn.Transformer(8, 2, 1, 1, 16, batch_first=True), TOKENS, torch.randn(2, 5, 8), tolerance=1e-5)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True, "dropout": 0.2}, {"bias": False}],
    ids=["plain", "deep and both ways", "without bias"],
)
def test_a_recurrent_layer_is_one_op(kind: type[nn.RNNBase], options: dict[str, Any]) -> None:
    graph = assert_same(kind(8, 5, batch_first=True, **options), TOKENS)
    assert op_names(graph) == [kind.__name__.lower()]
    op = graph.nodes[0].op
    assert isinstance(op, ops.Lstm | ops.Gru | ops.Rnn) and op.dropout == options.get("dropout", 0.0)
    states = 2 if kind is nn.LSTM else 1
    assert graph.nodes[0].inputs[1 : 1 + states] == (None,) * states  # zeros are left to the op


def test_recurrent_layers_with_relu_and_with_time_first_keep_their_function() -> None:
    assert_same(nn.RNN(8, 5, nonlinearity="relu", batch_first=True), TOKENS)
    graph = assert_same(nn.LSTM(8, 5), torch.randn(7, 1, 8), axes=[1], batch_axes={"input": 1})
    assert graph.nodes[0].op == ops.Lstm(hidden=5, batch_first=False)


class WithStates(nn.Module):
    """Initial states: one learned, one zero, and one that is passed on."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 5, batch_first=True)
        self.gru = nn.GRU(5, 5, batch_first=True)
        self.start = nn.Parameter(torch.ones(1, 1, 5))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        start = self.start.expand(-1, x.shape[0], -1).contiguous()
        y, (h, c) = self.lstm(x, (start, torch.zeros(1, x.shape[0], 5)))
        z, last = self.gru(y, h)
        return z[:, -1], last[-1], c.squeeze(0)


def test_initial_states_are_kept_unless_they_are_zero() -> None:
    graph = assert_same(WithStates(), TOKENS)
    lstm = next(node for node in graph.nodes if isinstance(node.op, ops.Lstm))
    assert lstm.inputs[1] is not None and lstm.inputs[2] is None


def test_states_as_inputs_have_their_batch_on_axis_1() -> None:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(8, 5, batch_first=True)

        def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.gru(x, state)

    assert_same(Step(), TOKENS, torch.randn(1, 2, 5), axes=[0, 1], batch_axes={"state": 1})


class Unrolled(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: torch.Tensor) -> Any:
        state = None
        for step in range(3):
            state = self.cell(x[:, step], state)
        return state


@pytest.mark.parametrize("cell", [nn.LSTMCell(8, 5), nn.GRUCell(8, 5), nn.RNNCell(8, 5), nn.RNNCell(8, 5, False, "relu")])
def test_cells_are_composed(cell: nn.Module) -> None:
    assert_same(Unrolled(cell), TOKENS, tolerance=2e-6)


def test_a_projected_state_is_refused() -> None:
    with pytest.raises(Unsupported, match="proj_size"):
        load(nn.LSTM(8, 5, proj_size=3, batch_first=True), (TOKENS,))


def test_packed_sequences_are_refused_clearly() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 5, batch_first=True)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return self.lstm(packed)[1][0]

    with pytest.raises(Unsupported, match="packed sequences") as error:
        load(Packed(), (TOKENS, torch.tensor([7, 7])))
    assert "test_lower_sequences.py" in (error.value.where or "")
