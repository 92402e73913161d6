"""The fields of an experiment file.

Unknown keys are errors. Released defaults never change, because hashes of runs omit settings that have their defaults.
"""

import functools
import hashlib
import json
import math
import operator
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, PrivateAttr, Tag, field_validator, model_validator

from progress_measures import capabilities
from progress_measures.experiments import derived
from progress_measures.experiments import grid as grids
from progress_measures.experiments.choices import Activation, MLPInput, Normalization
from progress_measures.old_names import RENAMED_FIELDS
from progress_measures.section import Section
from progress_measures.tasks import TASKS, SequenceTask, Task

MAX_WEIGHTS = 10**9  # limit of `Model.weight_count`
MAX_SEED = 2**32 - 2  # test sequences use seed + 1, and NumPy's legacy generator accepts 32 bits


# pydantic selects the class of a task by the field `kind`; for mypy, a task has the base class
if TYPE_CHECKING:
    AnyTask = Task
else:
    AnyTask = Annotated[functools.reduce(operator.or_, TASKS.values()), Field(discriminator="kind")]


def _is_default(section: Section, *fields: str) -> bool:
    """Return whether these fields of a section have their default values."""
    return all(getattr(section, field) == type(section).model_fields[field].default for field in fields)


class Split(Section):
    """The training pairs or, for tasks on sequences, the number of examples."""

    method: Literal["shuffle", "randperm"] = Field(
        "shuffle",
        description="How the pairs are ordered; the first ones, a fraction `train_fraction`, are training pairs. `shuffle`: "
        "Python's random.shuffle of the pairs in lexicographic order, as in the paper's code; `randperm`: torch.randperm on "
        "the CPU, as in the notebooks.",
    )
    train_fraction: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Tasks on pairs: fraction of the pairs with a right answer that are training pairs.",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="Seed of the split or of the sampled sequences; by default, the run's seed. Test sequences use the seed + 1.",
    )
    examples: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Tasks on sequences: number of training sequences, sampled once. By default, every update samples "
        "`training.batch` fresh sequences (unlimited data).",
    )
    test_examples: int = Field(
        1024, ge=1, le=1_000_000, description="Tasks on sequences: number of test sequences, sampled once."
    )
    label_noise: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Tasks on pairs: fraction of the training pairs whose label is replaced by a random wrong one, "
        "drawn with the split's seed. The train loss and accuracy recorded during training use these labels, as does "
        "the local learning coefficient; other measures use the right answers.",
    )


class Model(Section):
    """The network. The defaults are the paper's transformer (appendix A): no norms, learned positions, causal, ReLU."""

    layers: int = Field(1, ge=1, le=100, description="Number of transformer blocks, or of hidden layers of an MLP.")
    d_model: int = Field(
        128, ge=1, le=100_000, description="Width of the residual stream, or of the embedding of an MLP."
    )
    heads: int = Field(4, ge=1, le=10_000, description="Number of attention heads per layer.")
    d_head: int = Field(32, ge=1, le=100_000, description="Width of an attention head.")
    d_mlp: int = Field(512, ge=1, le=1_000_000, description="Number of MLP neurons per layer.")
    attention_only: bool = Field(False, description="Whether the network has no MLPs.")
    mlp_input: MLPInput | None = Field(
        None,
        description="For an MLP without attention, what it reads: `summed` or `concatenated` embeddings of a and b, or "
        "`one_hot` vectors. Unset for a transformer.",
    )
    activation: Activation = Field(
        "relu", description="Activation function of the neurons; `gelu_tanh` is the approximation of `gelu` by tanh."
    )
    gated_mlp: bool = Field(
        False,
        description="Whether a second linear map of the MLP's input x multiplies the neurons: activation(x W_gate) · "
        "(x W_in).",
    )
    normalization: Normalization = Field(
        "none", description="Norms of the residual stream: LayerNorm, RMSNorm or none; see `norm_after`."
    )
    norm_after: bool = Field(
        False,
        description="Whether a norm follows each addition to the residual stream. By default, norms precede attention and MLP.",
    )
    norm_weights: bool = Field(
        True, description="Whether norms have trained weights, and LayerNorms trained biases too."
    )
    final_norm: bool | None = Field(
        None,
        description="Whether the unembedding's input is normalized; by default, it is if norms precede attention and MLP.",
    )
    norm_epsilon: float = Field(
        1e-5, ge=0, lt=1, description="Number that LayerNorms add to the variance, and RMSNorms to the mean square."
    )
    attention_scale: float | None = Field(
        None, gt=0, description="Factor of the attention scores; by default 1/√d_head. 1 means no scale."
    )
    causal: bool = Field(True, description="Whether a position attends to earlier positions and itself only.")
    attention_biases: bool = Field(False, description="Whether attention has biases b_Q, b_K, b_V and b_O.")
    positions: Literal["learned", "fixed", "sinusoidal", "rotary", "none"] = Field(
        "learned",
        description="Position vectors: `learned`; `fixed`, taken from an imported file; `sinusoidal` (Vaswani et al. "
        "2017); `rotary` (Su et al. 2021); or `none`.",
    )
    tied_embeddings: bool = Field(False, description="Whether the unembedding is the transpose of the embedding.")
    unembedding_bias: bool = Field(False, description="Whether the logits have a bias b_U.")
    mlp_biases: bool = Field(True, description="Whether the MLPs have trained biases b_in and b_out, initialized to 0.")
    doubled_residual: bool = Field(
        False,
        description="Attention-only networks: whether a layer computes x ← 2x + attention(x) instead of x + attention(x). This "
        "reproduces an error in the authors' saved repeated-subsequence runs, which add the residual stream twice.",
    )
    initialization: Literal["paper", "transformer_lens", "authors", "authors_by_head"] = Field(
        "paper",
        description="Distribution of the initial weights; N(0, v) has variance v. Biases are 0, weights of norms 1. "
        "`vocabulary` and `outputs` are the numbers of tokens and of outputs. `paper`: N(0, 1/d_model), W_U from "
        "N(0, 1/vocabulary); in an MLP without attention, the embedding from N(0, 1/d_model), and a matrix with r "
        "rows (one for each of its inputs) from N(0, 1/r). `transformer_lens`: N(0, 0.64/d_model), bit-identical to "
        "TransformerLens 1 to 3; from the same seed, version 4 draws the same W_E and W_pos, but different "
        "values of all other matrices. `authors`: N(0, 1/d_model), W_U from N(0, 1/outputs), bit-identical to the "
        "authors' code for five-digit addition and skip trigrams. `authors_by_head`: like `authors`, but W_Q, W_K and W_V "
        "from N(0, 1/d_head) and W_U from N(0, 1/vocabulary), as in the authors' repeated-subsequence runs.",
    )
    initial_scale: float = Field(
        1.0, gt=0, description="Factor of all initial weights except those of norms (Liu et al. 2023, Omnigrok)."
    )

    @property
    def weight_count(self) -> int:
        """Number of weights in the matrices of the layers; for an MLP, as if its input were two concatenated embeddings."""
        if self.mlp_input is not None:
            return 2 * self.d_model * self.d_mlp + (self.layers - 1) * self.d_mlp**2
        attention = 4 * self.heads * self.d_head
        neurons = 0 if self.attention_only else (2 + self.gated_mlp) * self.d_mlp
        return self.layers * self.d_model * (attention + neurons)

    @property
    def has_final_norm(self) -> bool:
        """Whether the unembedding's input is normalized."""
        by_default = self.normalization != "none" and not self.norm_after
        return by_default if self.final_norm is None else self.final_norm

    @property
    def weighted_norms(self) -> tuple[str, ...]:
        """Names of the norms with trained weights; empty if there are none."""
        if self.normalization == "none" or not self.norm_weights:
            return ()
        names = ("ln1",) if self.attention_only else ("ln1", "ln2")
        return (*names, "ln_final") if self.has_final_norm else names


class CheckpointSchedule(Section):
    """Epochs of the checkpoints: log-spaced, multiples of a number, or both; always with epoch 0 and the last epoch."""

    log: int | None = Field(
        None,
        ge=2,
        le=100_000,
        description="Number n of log-spaced epochs. The first, e₁, is 1, and the last is `epochs`; eᵢ₊₁ is "
        "eᵢ · (`epochs` / eᵢ)^(1 / (n − i)), rounded, and at least eᵢ + 1.",
    )
    every: int | None = Field(
        None, ge=1, le=10_000_000, description="Epochs that are multiples of this number are checkpoints."
    )

    @model_validator(mode="after")
    def _check_not_empty(self) -> "CheckpointSchedule":
        if self.log is None and self.every is None:
            raise ValueError("needs `log`, `every` or both, as in {log: 60, every: 1000}")
        return self


class StopRule(Section):
    """Conditions that end a run before its last epoch, if they all hold at every evaluation for a number of epochs."""

    model_config = ConfigDict(populate_by_name=True)  # so that Python code can write `for_epochs`: `for` is a keyword

    train_loss: float | None = Field(None, gt=0, description="The train loss is below this number, in nat.")
    test_loss: float | None = Field(None, gt=0, description="The test loss is below this number, in nat.")
    train_accuracy: float | None = Field(None, gt=0, le=1, description="The train accuracy is at least this number.")
    test_accuracy: float | None = Field(None, gt=0, le=1, description="The test accuracy is at least this number.")
    for_epochs: int = Field(
        alias="for",
        ge=0,
        le=10_000_000,
        description="Number of epochs for which the conditions must hold. The run ends at the first checkpoint at which they "
        "have held that long.",
    )

    @model_validator(mode="after")
    def _check_conditions(self) -> "StopRule":
        if not self.conditions:
            raise ValueError("needs a condition, as in {test_loss: 1e-6, for: 500}")
        return self

    @property
    def conditions(self) -> dict[str, float]:
        """The bound of each condition, by name of the loss or accuracy."""
        return self.model_dump(exclude={"for_epochs"}, exclude_none=True)


class RateSchedule(Section):
    """Factor of the learning rate or of the weight decay at each update. Updates count from 0."""

    shape: Literal["constant", "linear", "cosine", "piecewise"] = Field(
        "constant",
        description="`constant`: 1. `linear` and `cosine`: from 1 at update 0 to `final` at update `updates`, along a "
        "line or along half a cosine wave, and `final` afterwards. `piecewise`: constant between the `points`.",
    )
    final: float = Field(0.0, ge=0, description="`linear`, `cosine`: the last factor.")
    updates: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="`linear`, `cosine`: number of updates until the factor is `final`; by default `training.epochs`.",
    )
    points: tuple[tuple[Annotated[int, Field(ge=0)], Annotated[float, Field(ge=0)]], ...] = Field(
        (),
        description="`piecewise`: pairs of an update and the factor from this update on, in ascending order; 1 before the first.",
    )

    @model_validator(mode="after")
    def _check_shape(self) -> "RateSchedule":
        shapes_with = {"final": ("linear", "cosine"), "updates": ("linear", "cosine"), "points": ("piecewise",)}
        for field, shapes in shapes_with.items():
            if self.shape not in shapes and not _is_default(self, field):
                raise ValueError(f"`{field}` is for `shape: {'` or `'.join(shapes)}`, not `{self.shape}`")
        starts = [start for start, _ in self.points]
        if self.shape == "piecewise" and (not starts or starts != sorted(set(starts))):
            raise ValueError("`piecewise` needs `points` in ascending order, as in [[1000, 0.1], [5000, 0.01]]")
        return self

    def __str__(self) -> str:
        if self.shape == "piecewise":
            return f"piecewise {', '.join(f'{value:g} from {start}' for start, value in self.points)}"
        end = "" if self.updates is None else f" at {self.updates}"
        return self.shape if self.shape == "constant" else f"{self.shape} to {self.final:g}{end}"


KEPT_FORMS = ("<name>", "<epochs>", "<schedule>")
"""Forms of the field `keep`, as pydantic names them in the location of a mistake."""


def _form_of_kept(value: Any) -> str:
    """Return which of `KEPT_FORMS` a value of the field `keep` has, so that messages concern this form only."""
    if isinstance(value, list):
        return "<epochs>"
    return "<schedule>" if isinstance(value, dict | CheckpointSchedule) else "<name>"


class Training(Section):
    """The recipe: optimizer and loss, on all training examples at every update or on `batch` examples."""

    epochs: int = Field(
        gt=0, le=10_000_000, description="Number of updates; each uses all training examples or `batch` of them."
    )
    optimizer: Literal["adamw", "adam", "sgd", "muon", "lion"] = Field(
        "adamw",
        description="`adamw`; `adam` and `sgd`, whose weight decay is an L2 penalty, part of the gradient; `muon` "
        "(Jordan et al. 2024) on the matrices of attention and MLPs, with AdamW on embeddings, unembedding and "
        "biases; `lion` (Chen et al. 2023). Weight decay of `adamw`, `muon` and `lion` is decoupled: weights are "
        "multiplied by 1 - learning rate · λ.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate.")
    weight_decay: float = Field(1.0, ge=0, description="Weight decay λ (λ = 1, decoupled, in the paper's section 3).")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.98),
        description="β1 and β2: decay rates of the moment estimates of Adam and AdamW, or the two rates of Lion.",
    )
    adam_epsilon: float = Field(
        1e-8, ge=0, lt=1, description="Number that Adam adds to the root of its second moment estimate."
    )
    momentum: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="`sgd`: factor m of the velocity v = m v + gradient, as in torch, by default 0.9. `muon`: decay rate of the "
        "running mean of the gradients, by default 0.95.",
    )
    adamw_learning_rate: float | None = Field(
        None, gt=0, description="`muon`: learning rate of the weights that AdamW trains; by default `learning_rate`."
    )
    gradient_filter: Literal["none", "grokfast_ema", "grokfast_ma", "orthograd"] = Field(
        "none",
        description="Change of the gradient before the optimizer uses it. `grokfast_ema` and `grokfast_ma` (Lee et al. 2024) add "
        "`grokfast_factor` times a running mean of the gradients; `orthograd` (Prieto et al. 2025) removes the component along "
        "the weights, in each tensor of each layer, and restores the gradient's norm.",
    )
    grokfast_decay: float = Field(
        0.98,
        ge=0,
        lt=1,
        description="`grokfast_ema`: decay rate α of the exponential mean, which starts as the first gradient.",
    )
    grokfast_factor: float = Field(
        2.0,
        ge=0,
        description="`grokfast_ema`, `grokfast_ma`: factor λ of the mean; for modular products, Lee et al. use 2 with "
        "`grokfast_ema` and 5 with `grokfast_ma`.",
    )
    grokfast_window: int = Field(
        100,
        ge=1,
        le=1000,
        description="`grokfast_ma`: number of gradients in the mean. Nothing is added until so many gradients have "
        "been computed. A saved training state contains all gradients of the mean.",
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        description="Largest norm of the gradient of all weights, after `gradient_filter`. A gradient with a larger "
        "norm is scaled to this norm. By default, there is no limit.",
    )
    learning_rate_schedule: RateSchedule = Field(
        RateSchedule(),
        description="Factor of the learning rate at each update, multiplied by the factor of `warmup`; see below.",
    )
    weight_decay_schedule: RateSchedule = Field(
        RateSchedule(),
        description="Factor of the weight decay λ at each update; see below. Decoupled weight decay is also "
        "multiplied by the learning rate and the factors of the learning rate.",
    )
    fixed_norm: Annotated[float, Field(gt=0)] | Literal["initial"] | None = Field(
        None,
        description="Norm to which the vector of all weights is scaled after each update (Liu et al. 2023): a number, or "
        "`initial`. By default, the norm is free.",
    )
    loss: Literal["cross_entropy", "mse", "stablemax"] = Field(
        "cross_entropy",
        description="Loss that training minimizes: `cross_entropy`; `mse`, the mean over examples and outputs of "
        "(logit - target)², with target 1 for the label and 0 for other outputs (Gromov 2023); `stablemax`, the "
        "cross-entropy of StableMax (Prieto et al. 2025). With every loss, the recorded train and test losses of "
        "evaluations are cross-entropies without label smoothing, so that recipes can be compared.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of the target's probability that is uniform over the outputs; the rest is on the label.",
    )
    warmup: int = Field(
        10,
        ge=0,
        le=10_000_000,
        description="Updates of linear warm-up: the learning rate of update t is scaled by min(t / warmup, 1), so with "
        "any warm-up the first update (t = 0) changes no weight.",
    )
    precision: Literal["float64", "float32_log1p", "float32"] = Field(
        "float32_log1p",
        description="Arithmetic of the cross-entropy: `float64`; `float32_log1p`, which is as accurate for small "
        "losses at half the cost; or `float32`, which rounds small losses to 0 and causes slingshots, sudden rises of "
        "the train loss (appendix D.2). Other losses are computed in float64 with `float64`, otherwise in the "
        "arithmetic of the logits. `arithmetic` sets the arithmetic of weights and updates.",
    )
    arithmetic: Literal["float32", "float64", "bfloat16"] = Field(
        "float32",
        description="Arithmetic of weights, gradients and updates. `bfloat16`: matrix products of the forward and backward pass "
        "in bfloat16, weights and their updates in float32; faster on a GPU only.",
    )
    batch: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Examples per update; by default all training pairs, or all of `split.examples`. With smaller batches, "
        "each pass over the examples has a new random order; an epoch is an update, not a pass. Examples at the end of a pass "
        "that do not fill a batch are skipped.",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout probability of the MLP neurons, drawn per update and example; the other activations "
        "are divided by 1 - `dropout` (appendix D.1). Evaluation and measures use no dropout.",
    )
    l1: float = Field(
        0.0,
        ge=0,
        description="Coefficient λ of the l1 penalty, λ times the sum of the absolute values of all weights. The penalty is "
        "not decoupled: its gradient is added to the gradient of the loss and passes through Adam (appendix D.1). Recorded "
        "losses exclude the penalty.",
    )
    checkpoint_every: int = Field(
        100, ge=1, le=10_000_000, description="Epochs between checkpoints; must divide `epochs`."
    )
    checkpoints: CheckpointSchedule | None = Field(
        None,
        description="Epochs of the checkpoints, in place of `checkpoint_every`; see below. Losses and accuracies are also "
        "evaluated at them.",
    )
    stop_when: StopRule | None = Field(
        None,
        description="When a run ends before its last epoch; see below. Losses and accuracies are then also evaluated at "
        "checkpoints. By default, all runs have `epochs` epochs.",
    )
    measure: Literal["after", "during"] = Field(
        "after",
        description="When checkpoints are measured: `after` training, from their stored weights, or `during` training. With "
        "`during`, measures that require the final network are still computed after training, at the checkpoints that `keep` "
        "selects.",
    )
    keep: Annotated[
        Annotated[Literal["all", "last"], Tag("<name>")]
        | Annotated[list[Annotated[int, Field(ge=0)]], Tag("<epochs>")]
        | Annotated[CheckpointSchedule, Tag("<schedule>")],
        Discriminator(_form_of_kept),
    ] = Field(
        "all",
        description="With `measure: during`, the checkpoints whose weights are stored: `all`, `last`, or the "
        "checkpoints nearest to given epochs. The epochs are a list, or a schedule as for `checkpoints`, without "
        "epoch 0. The last checkpoint of a run is always kept. Unless all are kept, only one training state is stored "
        "while a run trains, and none after.",
    )
    evaluate_every: int = Field(
        100,
        ge=1,
        le=10_000_000,
        description="Epochs between evaluations, which record train and test loss and accuracy during training; must "
        "divide `epochs`.",
    )

    @model_validator(mode="after")
    def _check_choices(self) -> "Training":
        for field, (other_field, values) in _CONDITIONAL_FIELDS.items():
            value = getattr(self, other_field)
            if not _is_default(self, field) and value not in values:
                conditions = "` or `".join(f"{other_field}: {allowed}" for allowed in values)
                raise ValueError(f"`{field}` is for `{conditions}`, not for `{other_field}: {value}`; remove it")
        if self.arithmetic == "bfloat16" and self.dropout:
            raise ValueError("`dropout` is not computed in `arithmetic: bfloat16`; use `float32`")
        return self

    @model_validator(mode="after")
    def _check_intervals(self) -> "Training":
        fields = ("checkpoint_every", "evaluate_every") if self.checkpoints is None else ("evaluate_every",)
        for field in fields:
            if self.epochs % getattr(self, field):
                raise ValueError(f"`{field}` ({getattr(self, field)}) must divide `epochs` ({self.epochs})")
        if self.checkpoints is not None:
            if not _is_default(self, "checkpoint_every"):
                raise ValueError("give `checkpoint_every` or `checkpoints`, not both")
            if (self.checkpoints.log or 0) > self.epochs:
                raise ValueError(f"`checkpoints.log` ({self.checkpoints.log}) exceeds `epochs` ({self.epochs})")
        return self

    @model_validator(mode="after")
    def _check_kept(self) -> "Training":
        if self.keep != "all" and self.measure != "during":
            raise ValueError(
                "`keep` needs `measure: during`: weights that are not kept cannot be measured after training"
            )
        if isinstance(self.keep, CheckpointSchedule) and (self.keep.log or 0) > self.epochs:
            raise ValueError(f"`keep.log` ({self.keep.log}) exceeds `epochs` ({self.epochs})")
        if isinstance(self.keep, list) and max(self.keep, default=0) > self.epochs:
            raise ValueError(f"`keep` has epoch {max(self.keep)}, but the last epoch is {self.epochs}")
        return self


_CONDITIONAL_FIELDS = {
    "betas": ("optimizer", ("adamw", "adam", "muon", "lion")),
    "adam_epsilon": ("optimizer", ("adamw", "adam", "muon")),
    "momentum": ("optimizer", ("sgd", "muon")),
    "adamw_learning_rate": ("optimizer", ("muon",)),
    "grokfast_decay": ("gradient_filter", ("grokfast_ema",)),
    "grokfast_factor": ("gradient_filter", ("grokfast_ema", "grokfast_ma")),
    "grokfast_window": ("gradient_filter", ("grokfast_ma",)),
}
"""Fields of `training` that apply only with some values of another field: for each, the other field and its values."""


class LearningCoefficient(Section):
    """Settings of the Langevin dynamics that estimate the local learning coefficient (Lau et al. 2023)."""

    step_size: float = Field(
        5e-5, gt=0, le=1, description="Step size ε: each step adds noise of variance ε to every weight."
    )
    localization: float = Field(
        1000.0,
        ge=0,
        le=1e9,
        description="Strength γ of the pull to the weights of the checkpoint. Where the loss is flat, each weight varies with "
        "variance 1/γ, and chains need a few times 2/(εγ) steps to converge.",
    )
    inverse_temperature: float | None = Field(
        None, gt=0, le=1, description="Inverse temperature β; by default 1 / log n, for n training pairs."
    )
    chains: int = Field(
        4, ge=2, le=1000, description="Number of chains; the standard error is computed from the spread of their means."
    )
    burn_in: int = Field(100, ge=0, le=10_000_000, description="Steps of each chain before the first draw.")
    draws: int = Field(
        200, ge=4, le=10_000_000, description="Steps of each chain after the burn-in, whose losses are averaged."
    )


class Imported(Section):
    """Origin of a network trained elsewhere; written by `progress-measures import`, not by hand."""

    model_config = ConfigDict(allow_inf_nan=True)

    file: str = Field(description="Name of the imported file.")
    sha256: str = Field(description="SHA-256 checksum of the imported file.")
    format: str = Field(description="Naming and layout of the tensors in the imported file.")
    recognized: list[str] = Field(
        description="Properties read from the file or inferred from the network's predictions."
    )
    assumed: list[str] = Field(description="Assumptions, each with the option that changes it.")
    ignored: list[str] = Field(description="Tensors of the file that were ignored.")
    layer_norm: bool | None = Field(
        None,
        description="Only in files of earlier versions: whether the network has LayerNorms. Replaced by `model.normalization`.",
    )
    doubts: list[str] = Field(
        default_factory=list,
        description="Contradictions between the network and the file or options; empty unless imported with `--accept-doubtful`.",
    )
    logits_only: bool = Field(False, description="Whether only the logits of all pairs are known, and no weights.")
    neurons: bool = Field(False, description="With `logits_only`: whether the neuron activations are known too.")
    gradients: bool = Field(
        False,
        description="With `logits_only`: whether cosines between gradients with respect to embeddings are known too.",
    )
    split_known: bool = Field(
        True, description="Whether the training pairs are known; if false, only measures over all pairs are computed."
    )
    settings: dict[str, str | int | float] = Field(
        default_factory=dict,
        description="Values that the cube has in place of the values in the sections of this experiment: NaN or "
        "`unknown` for a setting that the imported file does not state, or a value that is not allowed in these "
        "sections.",
    )


class StartFrom(Section):
    """Trained weights from which a run starts, in place of random ones. The state of the optimizer is not copied."""

    experiment: str = Field(description="Name of a trained experiment or of an imported network.")
    run: str = Field(description="Name of the run in that experiment; `imported` for an imported network.")
    epoch: int | None = Field(
        None, ge=0, description="Epoch of a checkpoint whose weights are stored; by default, the last."
    )
    weights: str | None = Field(
        None,
        description="Hash of the settings of that run, which identifies the weights. Filled in, not written by hand.",
    )

    def __str__(self) -> str:
        return f"{self.experiment}/{self.run} at {'the last epoch' if self.epoch is None else self.epoch}"


class Run(Section):
    """One trained network of an experiment."""

    experiment: str
    name: str
    seed: int = Field(ge=0, le=MAX_SEED)
    task: AnyTask
    split: Split
    model: Model
    training: Training
    learning_coefficient: LearningCoefficient | None = None
    imported: Imported | None = None
    start_from: StartFrom | None = None
    labels: dict[str, str] = Field(
        default_factory=dict,
        description="Name of the run's group of settings, such as `muon`, by the key of the grid that defines the "
        "groups, such as `recipe`; a coordinate of the cube.",
    )

    @model_validator(mode="after")
    def _check_consistency(self) -> "Run":
        mistakes = list(_mistakes(self))
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    @cached_property
    def provides(self) -> frozenset[str]:
        """Capabilities of the run, which decide the measures that apply to it; see `capabilities.CAPABILITIES`."""
        return capabilities.capabilities_of(self)

    @property
    def on_sequences(self) -> bool:
        """Whether the examples are sampled sequences rather than all pairs of a and b."""
        return derived.on_sequences(self)

    @property
    def closed_form(self) -> bool:
        """Whether the fast path, `models.pairs`, can compute the neurons; conditions: `derived.closed_form`."""
        return derived.closed_form(self)

    @property
    def has_paper_design(self) -> bool:
        """Whether the network has the paper's design, in any size."""
        return derived.has_paper_design(self)

    @property
    def batch_size(self) -> int:
        """Number of examples per update; 0 means all training pairs."""
        return derived.batch_size(self)

    @property
    def split_seed(self) -> int:
        """Seed of the split: `split.seed` if it is set, otherwise the run's seed."""
        return derived.split_seed(self)

    @cached_property
    def hash(self) -> str:
        """A short hash of all settings that determine the trained weights.

        Settings at their defaults are omitted, so a field added later does not change the hashes of existing runs.
        """
        no_effect = {"experiment", "name", "labels", "learning_coefficient"}  # on the weights
        config = self.model_dump(mode="json", exclude=no_effect, exclude_defaults=True)
        # hashes use the names that fields had when the first runs were trained
        for section in (config.get("model", {}), config.get("imported", {})):
            for old, new in RENAMED_FIELDS.items():
                if new in section:
                    section[old] = section.pop(new)
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]

    def settings_of_family(self, family: str) -> str:
        """Return, as JSON, the settings that decide measures of a family but not the weights; an empty text if there are none.

        These settings are no part of `hash`.

        Args:
            family: Name of a family of measures: the name of the module that defines them.
        """
        section = self.learning_coefficient if family == "learning_coefficient" else None
        return "" if section is None else section.model_dump_json(exclude_defaults=True)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings by names without sections, such as `weight_decay`; coordinates of the cube along `run`.

        They are those of `declared_settings` and `labels`, with the values of `imported.settings` in place of the declared ones.
        """
        return self.declared_settings | self.labels | (self.imported.settings if self.imported else {})

    @property
    def omitted_settings(self) -> frozenset[str]:
        """Settings of this run that were added after cubes had been published, and have their defaults.

        A cube leaves out such a setting if all runs of its experiment omit it, so that published cubes need not change.
        """
        sections: dict[str, Section] = {"split": self.split, "model": self.model, "training": self.training}
        names = {
            name for section, fields in _LATER_FIELDS.items() for name in fields if _is_default(sections[section], name)
        }
        names |= {"start_from"} if self.start_from is None else set()
        return frozenset(names - ({"batch"} if self.on_sequences else set()))

    @property
    def declared_settings(self) -> dict[str, Any]:
        """Settings by names without sections, before `imported.settings` and `labels` are added.

        Left out are the section `imported`, the fields `checkpoints`, `stop_when`, `measure` and `keep` of `training`, and the
        table of a task. A field whose default follows from other fields, such as `attention_scale`, has the resulting value.
        """
        flat: dict[str, Any] = {"seed": self.seed, "split_seed": self.split_seed, "task": self.task.kind}
        flat |= self.task.model_dump(exclude={"kind", "answers"})
        if self.on_sequences:
            examples = math.inf if self.split.examples is None else float(self.split.examples)
            flat |= {"examples": examples, "test_examples": self.split.test_examples, "batch": self.batch_size}
        else:
            flat |= {"split_method": self.split.method, "train_fraction": self.split.train_fraction}
            flat |= {"label_noise": self.split.label_noise, "batch": self.batch_size}
        model, recipe = self.model, self.training
        training = self.training.model_dump(exclude={"betas", "batch", "checkpoints", "stop_when", "measure", "keep"})
        if self.training.checkpoints is not None:  # not used; the coordinate `epoch` shows the schedule
            del training["checkpoint_every"]
        flat |= model.model_dump() | training
        flat["activation_function"] = flat.pop("activation")  # `activation` is a dimension of the cube
        attention_scale = model.d_head**-0.5 if model.attention_scale is None else model.attention_scale
        flat |= {"mlp_input": model.mlp_input or "none", "final_norm": model.has_final_norm}
        flat |= {"attention_scale": attention_scale}
        if not self.on_sequences:
            flat |= {"outputs": self.task.sizes.outputs, "read": self.task.answer_position}
        flat |= {"beta1": recipe.betas[0], "beta2": recipe.betas[1], "momentum": derived.momentum(self)}
        flat |= {"adamw_learning_rate": derived.adamw_learning_rate(self)}
        flat |= {name: str(getattr(recipe, name)) for name in ("learning_rate_schedule", "weight_decay_schedule")}
        flat |= {"clip_norm": math.inf if recipe.clip_norm is None else recipe.clip_norm}
        flat |= {"start_from": "random" if self.start_from is None else str(self.start_from)}
        flat |= {"fixed_norm": "free" if recipe.fixed_norm is None else str(recipe.fixed_norm)}
        if self.learning_coefficient is not None:
            sampling = self.learning_coefficient.model_dump(exclude_none=True)
            flat |= {f"learning_coefficient_{name}": value for name, value in sampling.items()}
        return flat


_LATER_FIELDS = {
    "split": ("label_noise",),
    "model": ("initial_scale",),
    "training": (
        "optimizer", "adam_epsilon", "momentum", "adamw_learning_rate", "gradient_filter", "grokfast_decay", "grokfast_factor",
        "grokfast_window", "clip_norm", "learning_rate_schedule", "weight_decay_schedule", "fixed_norm", "loss",
        "label_smoothing", "arithmetic", "batch",
    ),
}  # fmt: skip
"""Fields added after cubes were published, by section; see `Run.omitted_settings`."""

_SECTIONS_OF_A_RUN = ("task", "split", "model", "training", "start_from", "learning_coefficient", "imported")
"""Sections of an experiment file that a run has too."""

_SAME_IN_ALL_RUNS = ("epochs", "checkpoint_every", "checkpoints", "evaluate_every", "stop_when", "measure", "keep")
"""Fields of `training` that cannot vary within an experiment, because they decide the epochs of its cube."""

SEQUENCE_TASKS = [kind for kind, task in TASKS.items() if issubclass(task, SequenceTask)]
"""Kinds of the tasks on sequences."""


def _mistakes(run: Run) -> Iterator[str]:
    """Yield a message for each inconsistency between the sections of a run; the message names the field."""
    split, training = run.split, run.training
    if run.on_sequences:
        if not _is_default(split, "method", "train_fraction"):
            yield "`split.method` and `split.train_fraction` are for tasks on pairs; give `split.examples`"
        if not run.batch_size:
            yield "`training.batch` is needed for fresh examples at every update, or `split.examples` for a fixed set"
        if split.examples is not None and split.examples % run.batch_size:
            yield f"`training.batch` ({training.batch}) must divide `split.examples` ({split.examples})"
        if split.label_noise:
            yield "`split.label_noise` is for tasks on pairs"
    elif split.examples is not None or not _is_default(split, "test_examples"):
        fields = "`split.examples` and `split.test_examples`"
        yield f"{fields} are for tasks on sequences: {', '.join(SEQUENCE_TASKS)}"
    else:
        pair_count = int(run.task.defined().sum())
        train_count = int(split.train_fraction * pair_count)
        if not train_count:
            yield f"`split.train_fraction` ({split.train_fraction:g}) of {pair_count} pairs is less than one pair"
        elif (training.batch or 0) > train_count:
            yield f"`training.batch` ({training.batch}) exceeds the number of training pairs, {train_count}"
    if run.learning_coefficient is not None:
        if run.on_sequences:
            yield "`learning_coefficient` is for tasks on pairs; remove it"
        if training.stop_when is not None:
            yield (
                "`learning_coefficient` is estimated at selected epochs, which would differ between runs that stop early; "
                "remove it, or `training.stop_when`"
            )
    yield from _mistakes_of_design(run)
    if run.model.doubled_residual and not run.model.attention_only:
        yield "`model.doubled_residual` is for networks with `model.attention_only: true`"
    if training.dropout and run.model.attention_only:
        yield "`training.dropout` sets neurons to 0, but a network with `model.attention_only: true` has no neurons"
    if run.model.weight_count > MAX_WEIGHTS:
        yield f"`model` has {run.model.weight_count:.1e} weights in its layers; at most {MAX_WEIGHTS:.0e} are allowed"
    if ambiguous := sorted(set(run.labels) & set(run.declared_settings)):
        yield f"`grid` has the key `{ambiguous[0]}`, which is also the name of a setting; rename the key, for example to `recipe`"
    if run.start_from is not None:
        for field, effect in (("initial_scale", "scales"), ("initialization", "draws")):
            if not _is_default(run.model, field):
                yield f"`model.{field}` {effect} random initial weights, but `start_from` gives trained ones; remove one of them"
    unknown = sorted(set(run.imported.settings) - set(run.declared_settings)) if run.imported else []
    if unknown:
        yield f"`imported.settings` has {unknown[0]!r:.60}, which is not the name of a setting of the run"


def _mistakes_of_design(run: Run) -> Iterator[str]:
    """Yield a message for each combination of fields of `model` that is impossible or not supported; it names the fields."""
    model, is_trained_here = run.model, run.imported is None
    defaults = Model()
    if model.mlp_input is not None:
        transformer_fields = (
            "heads", "d_head", "attention_only", "gated_mlp", "normalization", "norm_after", "norm_weights", "final_norm",
            "attention_scale", "causal", "attention_biases", "positions", "tied_embeddings", "unembedding_bias",
        )  # fmt: skip
        set_fields = [name for name in transformer_fields if getattr(model, name) != getattr(defaults, name)]
        if set_fields:
            yield f"`model.{set_fields[0]}` is for transformers; remove it, or `model.mlp_input`"
        if run.on_sequences:
            yield "`model.mlp_input` is for tasks on pairs"
        elif [slot.operand for slot in run.task.token_layout.slots] not in (["a", "b"], ["b", "a"]):
            yield "`model.mlp_input` needs `task.tokens: a b`: an MLP reads a and b only"
    if model.normalization == "none" and (model.norm_after or model.final_norm):
        yield "`model.norm_after` and `model.final_norm` need `model.normalization: layer_norm` or `rms_norm`"
    if model.attention_only and (model.gated_mlp or model.activation != defaults.activation):
        yield "`model.gated_mlp` and `model.activation` are for networks with MLPs, not with `model.attention_only: true`"
    if model.positions == "rotary" and model.d_head % 2:
        yield f"`model.positions: rotary` needs an even `model.d_head`, not {model.d_head}"
    if is_trained_here:
        if model.normalization == "none" and not _is_default(model, "norm_weights", "norm_epsilon"):
            yield "`model.norm_weights` and `model.norm_epsilon` need `model.normalization: layer_norm` or `rms_norm`"
        if model.positions == "fixed":
            yield "`model.positions: fixed` is for imported networks, whose file has the position vectors"
        if model.tied_embeddings and run.task.sizes.outputs != run.task.sizes.vocabulary:
            sizes = run.task.sizes
            yield (
                f"`model.tied_embeddings` needs as many outputs as tokens: set `task.outputs` to {sizes.vocabulary}, "
                f"not {sizes.outputs}"
            )
        if not derived.has_paper_design(run) and run.training.dropout:
            yield "`training.dropout` is for networks of the paper's design; remove it, or the fields of `model`"
        if not derived.has_paper_design(run) and model.initialization != "paper":
            yield f"`model.initialization: {model.initialization}` is for networks of the paper's design; use `paper`"


def _required_unless_extended(schema: dict[str, Any]) -> None:
    """Change the JSON schema so that an experiment that extends another requires only a title."""
    required = schema["required"]
    schema |= {"required": ["title"], "if": {"not": {"required": ["extends"]}}, "then": {"required": required}}


class Experiment(Section):
    """A task, a model, a training recipe and a grid of runs."""

    model_config = ConfigDict(json_schema_extra=_required_unless_extended)

    title: str = Field(min_length=1, max_length=200, description="Title in one line, for figures and reports.")
    description: str = Field("", description="Purpose of the experiment and origin of its settings.")
    reference: str = Field("", description="Place in the paper or its companions that states the settings.")
    extends: str | None = Field(
        None,
        description="Name of an experiment from which this one takes all settings that this file does not give. `task`, `split`, "
        "`model` and `training` are joined key by key; other keys, such as `grid`, replace those of the other experiment.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=MAX_SEED,
        description="Seed of the initial weights, and of the split unless `split.seed` is set.",
    )
    task: AnyTask
    split: Split = Split()
    model: Model = Model()
    training: Training
    grid: dict[str, list[Any] | dict[str, dict[str, Any]]] = Field(
        default_factory=dict,
        description="Fields that differ between runs, each with a list of values: `seed` or a dotted name such as "
        "`training.weight_decay` or `task.prime`. Each combination of values is one run; at most 10,000 runs. Fields that vary "
        "together form one key, separated by commas, with lists of values: "
        "`model.d_model, model.d_mlp: [[32, 128], [64, 256]]`. Or a key has a name of its own, and a mapping from names to "
        "settings: `recipe: {adamw: {}, muon: {training.optimizer: muon, training.learning_rate: 0.02}}`.",
    )
    start_from: StartFrom | None = Field(
        None, description="Trained weights from which the runs start, in place of random ones; see below."
    )
    learning_coefficient: LearningCoefficient | None = Field(
        None,
        description="How the local learning coefficient is estimated at the selected epochs (`moment`); see below. By default "
        "it is not estimated, because each estimate takes as long as hundreds of updates. If this section changes, no network is "
        "trained again.",
    )
    imported: Imported | None = Field(None, description="Origin of a network trained elsewhere; see below.")
    _start_hashes: dict[str, str] = PrivateAttr(default_factory=dict)  # see `with_start_hashes`
    _runs: dict[str, list[Run]] = PrivateAttr(default_factory=dict)  # by name of the experiment; see `runs`

    @field_validator("title")
    @classmethod
    def _check_title(cls, title: str) -> str:
        if not title.isprintable():
            raise ValueError("must be one line, without control characters")
        return title

    @field_validator("grid")
    @classmethod
    def _check_grid(cls, grid: grids.Grid) -> grids.Grid:
        sections = (("split", Split), ("model", Model), ("training", Training), ("start_from", StartFrom))
        allowed = {"seed"}.union(*(grids.fields_of(section, name) for name, section in sections))
        for task in TASKS.values():
            allowed |= set() if issubclass(task, SequenceTask) else grids.fields_of(task, "task")
        refused = {f"training.{field}": "it decides the epochs of the cube" for field in _SAME_IN_ALL_RUNS}
        refused |= {"start_from.weights": "it is a hash that is filled in, not written by hand"}
        refused |= {"task.kind": "tasks have different measures; write one experiment for each"}
        for task in TASKS.values():
            if issubclass(task, SequenceTask):
                reason = "sequences of different kinds have no common cube; write one experiment for each"
                refused |= dict.fromkeys(grids.fields_of(task, "task") - allowed, reason)
        grids.check(grid, allowed - set(refused), refused)
        return grid

    @model_validator(mode="after")
    def _check_start(self) -> "Experiment":
        varied = [field for entry in grids.combinations(self.grid) for field in entry.settings]
        if self.start_from is None and any(field.startswith("start_from.") for field in varied):
            raise ValueError("`grid` varies `start_from`, so the file needs the section `start_from` too")
        return self

    @model_validator(mode="after")
    def _check_imported(self) -> "Experiment":
        if self.imported and self.grid:
            raise ValueError("an `imported` network is one run and has no `grid`")
        return self

    def runs(self, experiment: str) -> list[Run]:
        """Return one run for each combination of grid values, the last key varying fastest.

        Args:
            experiment: Name of the experiment, which is the name of its file.
        """
        if experiment not in self._runs:  # a grid may have a thousand runs, and several callers need them
            base = self.model_dump(include={"seed", *_SECTIONS_OF_A_RUN})
            grid = self.grid or {"seed": [self.seed]}
            entries = [grids.Entry("imported", {}, {})] if self.imported else grids.combinations(grid)
            self._runs[experiment] = [self._run(base, entry, experiment) for entry in entries]
        return list(self._runs[experiment])

    def _run(self, base: dict[str, Any], entry: grids.Entry, experiment: str) -> Run:
        """Return one run of the grid."""
        settings = grids.replace_settings(base, entry.settings)
        run = Run.model_validate(settings | {"experiment": experiment, "name": entry.name, "labels": entry.labels})
        if run.start_from is None:
            return run
        weights = self._start_hashes.get(start_name(run))
        return run.model_copy(update={"start_from": run.start_from.model_copy(update={"weights": weights})})

    def with_start_hashes(self, hashes: dict[str, str]) -> "Experiment":
        """Return a copy of the experiment with the hashes of the runs from whose weights its runs start.

        Args:
            hashes: hashes of the settings of those other runs, by the names that `start_name` returns.
        """
        copy = self.model_copy()
        copy._start_hashes, copy._runs = hashes, {}
        return copy


def start_name(run: Run) -> str:
    """Return the name of the run from whose weights a run starts, as `experiment/run`."""
    assert run.start_from is not None
    return f"{run.start_from.experiment}/{run.start_from.run}"
