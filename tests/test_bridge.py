"""The table in docs/import.md of what differs in TransformerLens 4.3: both sides of each row do what the page says."""

import copy
import re

import pytest
import torch
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from progress_measures.models.architecture import Architecture
from progress_measures.models.transformer import forward
from progress_measures.models.transformer_lens_bridge import lens_config, to_transformer_lens
from support import ROOT
from support.comparing import assert_close_tensors
from support.experiments import pair_runs
from support.networks import random_tensors

TITLE = "### What differs in TransformerLens 4.3"
SECTION = (ROOT / "docs/import.md").read_text().partition(TITLE)[2].partition("\n#")[0]
ROWS = re.findall(r"^\| `([^`]+)` \| .* \| [^|`]*`([^`]+)`[^|]* \|$", SECTION, re.M)
"""The code of the first and the last column of each row."""

(RUN,) = pair_runs(count=1)
WEIGHTS = {name: tensor.detach() for name, tensor in random_tensors([RUN], torch.float32, scale=0.5).items()}
TOKENS = torch.cartesian_prod(torch.arange(13), torch.arange(13), torch.tensor([13]))
MASK = torch.ones(3, 3, dtype=torch.bool).tril()


class Names(dict):
    """The names that the code of a row uses, with a network of its own."""

    def __init__(self):
        network = to_transformer_lens({name: w[0] for name, w in WEIGHTS.items()}, Architecture.of(RUN))
        logits, cache = network.run_with_cache(TOKENS)
        super().__init__(
            network=network, tokens=TOKENS, cache=cache, logits=logits, torch=torch, copy=copy,
            TransformerBridge=TransformerBridge, TransformerBridgeConfig=TransformerBridgeConfig,
        )  # fmt: skip

    def run(self, code):
        """Return the value of an expression; the weights get no gradients, as in evaluation."""
        with torch.no_grad():
            return eval(code, self)

    def answers_differ(self):
        """Return whether the network's logits are no longer those at first."""
        with torch.no_grad():
            return not torch.equal(self["network"](TOKENS), self["logits"])


def ours(hooked=None, change=None):
    """Return the activations and the logits of our own forward pass, and replace one activation."""
    activations = {}

    def hook(name, value):
        activations[name] = value[0]
        return change(value) if name == hooked else None

    return activations, forward(WEIGHTS, TOKENS, hook)[0]


def first_token_only(pattern, hook=None):
    """Return a pattern of attention to the first token alone."""
    return torch.eye(3)[0].expand_as(pattern)


def scores(wrong, right):
    names, (activations, _) = Names(), ours()
    assert torch.equal(names.run(wrong), names["cache"]["blocks.0.attn.hook_pattern"])
    true_scores = activations["blocks.0.attn.hook_attn_scores"]
    assert (true_scores[..., ~MASK] == -torch.inf).all()
    assert_close_tensors(names.run(right)[..., MASK], true_scores[..., MASK], torch.float32)


def change_of_scores(wrong, right):
    names = Names()
    names["change"] = lambda value, hook: value + torch.tensor([50.0, 0, 0])
    assert torch.equal(names.run(wrong), names["logits"])
    names["change"] = first_token_only
    _, expected = ours("blocks.0.attn.hook_pattern", first_token_only)
    assert_close_tensors(names.run(right), expected, torch.float32)


def results_of_heads(wrong, right):
    names, (activations, _) = Names(), ours()
    with pytest.raises(KeyError, match="hook_result"):
        names.run(wrong)
    config = TransformerBridgeConfig(**lens_config(Architecture.of(RUN), False, torch.float32), use_attn_result=True)
    _, cache = TransformerBridge.boot_native(config).run_with_cache(TOKENS)
    assert not [name for name in cache if "result" in name]
    assert names.run(right).shape == (169, 3, 3, 24)
    assert_close_tensors(names.run(right).sum(2), activations["blocks.0.hook_attn_out"], torch.float32)


def last_layer(wrong, right):
    names, (activations, _) = Names(), ours()
    assert torch.equal(names.run(wrong), names["logits"])
    assert_close_tensors(names.run(right), activations["blocks.0.hook_resid_post"], torch.float32)


def stacked_weights(wrong, right):
    names = Names()
    names.run(wrong)
    assert not names.answers_differ()
    names.run(right)
    assert names.answers_differ()


def functional_calls(wrong, right):
    names = Names()
    names["weights"] = {name: torch.zeros_like(w) for name, w in names["network"].named_parameters()}
    assert not names.run(right).any()
    assert not names.answers_differ()
    assert not names.run(wrong).any()
    assert names.answers_differ()


def training_of_b_U(wrong, right):
    names = Names()
    count = len(list(names.run(wrong)))
    names.run(right)
    parameters = list(names.run(wrong))
    assert len(parameters) == count + 1
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    torch.nn.functional.cross_entropy(names["network"](TOKENS)[:, -1], TOKENS[:, 0]).backward()
    assert not names["network"].b_U.any()
    optimizer.step()
    assert names["network"].b_U.any()


def files(wrong, right):
    names, other = Names(), Names()["network"]
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(names.run(wrong))
    assert "unembed.bias" in names.run(right)
    assert not [name for name, tensor in names.run(wrong).items() if tensor.shape == (13,)]
    other.load_state_dict(names.run(right))


def types(wrong, right):
    names = Names()
    names["sizes"] = lens_config(Architecture.of(RUN), False, torch.float32)
    del names["sizes"]["dtype"]
    for code, dtype in ((wrong, torch.float32), (right, torch.float64)):
        assert names.run(code)(TOKENS).dtype == dtype


CHECKS = (
    scores, change_of_scores, results_of_heads, last_layer, stacked_weights, functional_calls, training_of_b_U, files,
    types,
)  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_both_sides_of_a_row_do_what_the_page_says(check):
    assert len(ROWS) == len(CHECKS) == SECTION.count("\n| `")
    check(*ROWS[CHECKS.index(check)])


def test_our_forward_pass_has_true_scores_which_a_hook_replaces():
    activations, logits = ours()
    pattern = activations["blocks.0.attn.hook_attn_scores"].softmax(-1)
    assert_close_tensors(pattern, activations["blocks.0.attn.hook_pattern"], torch.float32)
    assert torch.isinf(activations["blocks.0.attn.hook_attn_scores"]).any()
    changed, other_logits = ours("blocks.0.attn.hook_attn_scores", lambda value: value + torch.tensor([50.0, 0, 0]))
    assert_close_tensors(changed["blocks.0.attn.hook_pattern"], first_token_only(pattern), torch.float32)
    assert not torch.allclose(logits, other_logits)
