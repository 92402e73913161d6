"""Allowed values of three fields of the section `model` of experiment files.

They are defined here, not in `models.design`, so that reading an experiment file does not import torch.
"""

from typing import Literal

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "square", "tanh", "identity"]
Normalization = Literal["none", "layer_norm", "rms_norm"]
MLPInput = Literal["summed", "concatenated", "one_hot"]
