"""Allowed values of fields of the section `model`. This module imports no torch, because settings are read without it."""

from typing import Literal

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "square", "tanh", "identity"]
Normalization = Literal["none", "layer_norm", "rms_norm"]
MLPInput = Literal["summed", "concatenated", "one_hot"]
