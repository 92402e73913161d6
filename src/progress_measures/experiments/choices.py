"""Allowed values of fields of the section `model` of experiment files, apart so that reading them imports no torch."""

from typing import Literal

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "square", "tanh", "identity"]
Normalization = Literal["none", "layer_norm", "rms_norm"]
MLPInput = Literal["summed", "concatenated", "one_hot"]
