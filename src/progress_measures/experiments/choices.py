"""Allowed values of fields of the section `model`, in a separate module so that reading settings imports no torch."""

from typing import Literal

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "square", "tanh", "identity"]
Normalization = Literal["none", "layer_norm", "rms_norm"]
MLPInput = Literal["summed", "concatenated", "one_hot"]
