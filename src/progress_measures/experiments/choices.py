"""Allowed values of fields of the section `model`, in a module of their own because settings are read without importing torch."""

from typing import Literal

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "square", "tanh", "identity"]
Normalization = Literal["none", "layer_norm", "rms_norm"]
MLPInput = Literal["summed", "concatenated", "one_hot"]
