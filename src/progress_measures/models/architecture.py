"""Names of a network's trained tensors, in the order in which this package stores them; names and sizes of dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class Architecture(NamedTuple):
    """The sizes of a network, and the settings that determine which tensors it has, from a run's model and task."""

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
    norms: tuple[str, ...] = ()  # norms with weights: `ln1` (attention), `ln2` (MLP), `ln_final` (unembedding)
    norm_biases: bool = False
    positions: str = "learned"
    tied_embeddings: bool = False
    unembedding_bias: bool = False

    @classmethod
    def of(cls, run: Run) -> Architecture:
        """Return the architecture of a run."""
        sizes, model = run.task.sizes, run.model
        return cls(
            layers=model.layers,
            d_model=model.d_model,
            heads=model.heads,
            d_head=model.d_head,
            d_mlp=model.d_mlp,
            attention_only=model.attention_only,
            mlp_biases=model.mlp_biases,
            vocabulary=sizes.vocabulary,
            context_length=sizes.context_length,
            outputs=sizes.outputs,
            mlp_input=model.mlp_input,
            gated_mlp=model.gated_mlp,
            attention_biases=model.attention_biases,
            norms=model.weighted_norms,
            norm_biases=model.normalization == "layer_norm",
            positions=model.positions,
            tied_embeddings=model.tied_embeddings,
            unembedding_bias=model.unembedding_bias,
        )

    @property
    def parameters(self) -> dict[str, dict[str, int]]:
        """Name and size of each dimension of each trained tensor, without the leading `run`."""
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
        """`parameters` for an MLP without attention, whose `layers` are hidden layers; see `models.mlp`."""
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
