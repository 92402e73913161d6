"""One network as the paper's authors saved it, where a copy lies beside the repository."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

FILE = Path(__file__).parents[2] / "shared/data/wd_10-1.pth"  # ../shared/data from the repository's root

needs_file = pytest.mark.skipif(not FILE.exists(), reason=f"the published network is not there: {FILE}")


def weights() -> dict[str, NDArray[np.float64]]:
    """Its weights in this project's orientation, in float64; the last of its 114 outputs is `=`."""
    import torch

    saved = torch.load(FILE, weights_only=True, map_location="cpu")["model"]
    theirs = {name: tensor.double().numpy() for name, tensor in saved.items()}
    block = "blocks.0."
    heads = {f"W_{x}": theirs[f"{block}attn.W_{x}"].transpose(0, 2, 1)[None] for x in "QKV"}
    head_count, d_head = theirs[f"{block}attn.W_K"].shape[:2]
    W_O = theirs[f"{block}attn.W_O"]  # [d_model, head * d_head]
    return {
        "W_E": theirs["embed.W_E"].T,
        "W_pos": theirs["pos_embed.W_pos"],
        **heads,
        "W_O": W_O.T.reshape(head_count, d_head, -1)[None],
        "W_in": theirs[f"{block}mlp.W_in"].T[None],
        "W_out": theirs[f"{block}mlp.W_out"].T[None],
        "b_in": theirs[f"{block}mlp.b_in"][None],
        "b_out": theirs[f"{block}mlp.b_out"][None],
        "W_U": theirs["unembed.W_U"],
    }
