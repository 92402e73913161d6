"""Names, dimensions and sizes of a network's trained tensors, in the order used throughout the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class Architecture(NamedTuple):
    """Sizes of a network, from the model and the task of its run."""

    layers: int
    d_model: int
    heads: int
    d_head: int
    d_mlp: int
    attention_only: bool
    mlp_biases: bool
    vocabulary: int
    context_length: int
    outputs: int
    mlp_input: str | None = None  # None for a transformer; see `Design`
    gated_mlp: bool = False
    attention_biases: bool = False
    norms: tuple[str, ...] = ()  # norms with weights: `ln1`, `ln2`, `ln_final`
    norm_biases: bool = False
    positions: str = "learned"
    tied_embeddings: bool = False
    unembedding_bias: bool = False

    @classmethod
    def of(cls, run: Run) -> Architecture:
        """Return the architecture of a run."""
        sizes, model = run.task.layout, run.model
        return cls(
            model.layers,
            model.d_model,
            model.heads,
            model.d_head,
            model.d_mlp,
            model.attention_only,
            model.mlp_biases,
            sizes.vocabulary,
            sizes.context_length,
            sizes.outputs,
            model.mlp_input,
            model.gated_mlp,
            model.attention_biases,
            model.weighted_norms,
            model.normalization == "layer_norm",
            model.positions,
            model.tied_embeddings,
            model.unembedding_bias,
        )

    @property
    def parameters(self) -> dict[str, dict[str, int]]:
        """Named dimensions of each trained tensor, without the leading `run`."""
        if self.mlp_input is not None:
            return self._mlp_parameters
        layer, head = {"layer": self.layers}, {"head": self.heads}
        d_model, d_head, neuron = {"d_model": self.d_model}, {"d_head": self.d_head}, {"neuron": self.d_mlp}
        tensors = {"W_E": {"token": self.vocabulary} | d_model}
        if self.positions == "learned":
            tensors["W_pos"] = {"position": self.context_length} | d_model
        tensors |= {
            "W_Q": layer | head | d_model | d_head,
            "W_K": layer | head | d_model | d_head,
            "W_V": layer | head | d_model | d_head,
            "W_O": layer | head | d_head | d_model,
        }
        if self.attention_biases:
            tensors |= {f"b_{letter}": layer | head | d_head for letter in "QKV"} | {"b_O": layer | d_model}
        if not self.attention_only:
            tensors |= {"W_in": layer | d_model | neuron, "W_out": layer | neuron | d_model}
            if self.gated_mlp:
                tensors["W_gate"] = layer | d_model | neuron
            if self.mlp_biases:
                tensors |= {"b_in": layer | neuron, "b_out": layer | d_model}
        for norm in self.norms:
            dims = d_model if norm == "ln_final" else layer | d_model
            tensors[f"{norm}_w"] = dims
            if self.norm_biases:
                tensors[f"{norm}_b"] = dims
        if not self.tied_embeddings:
            tensors["W_U"] = d_model | {"output": self.outputs}
        return tensors | ({"b_U": {"output": self.outputs}} if self.unembedding_bias else {})

    @property
    def _mlp_parameters(self) -> dict[str, dict[str, int]]:
        """Named dimensions of each trained tensor of an MLP without attention; see `models.mlp`."""
        neuron, output = {"neuron": self.d_mlp}, {"output": self.outputs}
        inputs = {
            "summed": self.d_model,
            "concatenated": 2 * self.d_model,
            "one_hot": 2 * self.vocabulary,
        }[str(self.mlp_input)]
        tensors: dict[str, dict[str, int]] = {}
        if self.mlp_input != "one_hot":
            tensors["W_E"] = {"token": self.vocabulary, "d_model": self.d_model}
        tensors["W_in"] = {"input": inputs} | neuron
        hidden = {"hidden_layer": self.layers - 1}
        if self.layers > 1:
            tensors["W_hidden"] = hidden | {"input_neuron": self.d_mlp} | neuron
        tensors["W_out"] = neuron | output
        if self.mlp_biases:
            tensors |= {"b_in": neuron} | ({"b_hidden": hidden | neuron} if self.layers > 1 else {}) | {"b_out": output}
        return tensors

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each trained tensor, without the leading `run`."""
        return {name: tuple(dims.values()) for name, dims in self.parameters.items()}
