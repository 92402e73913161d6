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
        )

    @property
    def parameters(self) -> dict[str, dict[str, int]]:
        """Named dimensions of each trained tensor, without the leading `run`."""
        layer, head = {"layer": self.layers}, {"head": self.heads}
        d_model, d_head, neuron = {"d_model": self.d_model}, {"d_head": self.d_head}, {"neuron": self.d_mlp}
        tensors = {
            "W_E": {"token": self.vocabulary} | d_model,
            "W_pos": {"position": self.context_length} | d_model,
            "W_Q": layer | head | d_model | d_head,
            "W_K": layer | head | d_model | d_head,
            "W_V": layer | head | d_model | d_head,
            "W_O": layer | head | d_head | d_model,
        }
        if not self.attention_only:
            tensors |= {"W_in": layer | d_model | neuron, "W_out": layer | neuron | d_model}
            if self.mlp_biases:
                tensors |= {"b_in": layer | neuron, "b_out": layer | d_model}
        return tensors | {"W_U": d_model | {"output": self.outputs}}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each trained tensor, without the leading `run`."""
        return {name: tuple(dims.values()) for name, dims in self.parameters.items()}
