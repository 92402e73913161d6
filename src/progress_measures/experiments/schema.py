"""The fields of an experiment's file. Unknown keys are refused; a default, once released, never changes."""

import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from progress_measures.old_names import RENAMED_FIELDS
from progress_measures.tasks import layout

MOST_PAIRS = 2000
"""Values of a and of b, at most: tables of all their pairs are held in memory."""
MOST_RUNS = 10_000
LONGEST_NAME = 200  # of a run, which is the name of a folder
MOST_WEIGHTS = 10**9
LARGEST_SEED = 2**32 - 2  # test examples are drawn from the next one, and NumPy's old generator takes 32 bits


class Section(BaseModel):
    """A part of an experiment's file: unknown keys are refused, numbers are finite, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, values: Any) -> Any:
        for name, field in cls.model_fields.items():
            if isinstance(values, dict) and isinstance(values.get(name), bool) and field.annotation is not bool:
                raise ValueError(f"`{name}` cannot be true or false")
        return values


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


class _Modular(Section):
    prime: int = Field(
        113, gt=2, le=MOST_PAIRS, description="p: a and b run over 0 … p − 1 (113 in the paper, section 3)."
    )

    @field_validator("prime")
    @classmethod
    def _prime(cls, value: int) -> int:
        if not is_prime(value):
            raise ValueError("must be a prime number, such as 53, 59, 97, 101, 109, 113 or 401")
        return value


class ModularAddition(_Modular):
    """`a b =` ↦ (a + b) mod p: the paper's task."""

    kind: Literal["modular_addition"]


class ModularSubtraction(_Modular):
    """`a b =` ↦ (a − b) mod p."""

    kind: Literal["modular_subtraction"]


class IntegerAddition(Section):
    """`a b =` ↦ a + b, not reduced."""

    kind: Literal["integer_addition"]
    operands: int = Field(10, gt=1, le=MOST_PAIRS, description="n: a and b run over 0 … n − 1.")
    outputs: int = Field(20, gt=2, le=10_000, description="Output classes, at least the 2n − 1 sums.")

    @model_validator(mode="after")
    def _room(self) -> "IntegerAddition":
        if self.outputs < 2 * self.operands - 1:
            raise ValueError(f"`outputs` must be at least {2 * self.operands - 1}, the number of sums")
        return self


class PairTable(Section):
    """`a b =` ↦ any function of a and b, given as its table."""

    kind: Literal["pair_table"]
    operands: int = Field(gt=1, le=MOST_PAIRS, description="n: a and b run over 0 … n − 1.")
    outputs: int = Field(gt=1, le=10_000, description="Output classes.")
    answers: list[int] = Field(description="The right answer of every pair, a by a: n² numbers below `outputs`.")

    @model_validator(mode="after")
    def _complete(self) -> "PairTable":
        if len(self.answers) != self.operands**2 or not all(0 <= answer < self.outputs for answer in self.answers):
            raise ValueError(f"`answers` must be {self.operands**2} numbers from 0 to {self.outputs - 1}")
        return self


class FiveDigitAddition(Section):
    """`x x x x x + y y y y y =` ↦ the digits of x + y, the carry first (appendix D.3)."""

    kind: Literal["five_digit_addition"]
    digits: int = Field(5, ge=1, le=18, description="Of x and of y; the sum has one more. The leading ones may be 0.")


class RepeatedSubsequence(Section):
    """Random tokens of which some return: predict those that did (appendix D.3)."""

    kind: Literal["repeated_subsequence"]
    vocabulary: int = Field(
        128, gt=2, le=100_000, description="Tokens; token 0 begins every sequence and stands nowhere else."
    )
    length: int = Field(85, gt=2, le=10_000, description="Of a sequence, its first token included.")
    subsequence: int = Field(16, gt=1, le=10_000, description="Tokens that return.")
    repeats: int = Field(
        3, gt=1, le=10_000, description="How often they occur, once in each of as many intervals of equal length."
    )

    @model_validator(mode="after")
    def _room(self) -> "RepeatedSubsequence":
        if (self.length - 1) // self.repeats < self.subsequence:
            raise ValueError(
                f"`length` must be at least {self.repeats * self.subsequence + 1}: {self.repeats} occurrences of "
                f"{self.subsequence} tokens and the first token"
            )
        return self


class SkipTrigram(Section):
    """Noise with one telling token in it: say which, at the end (appendix D.3)."""

    kind: Literal["skip_trigram"]
    noise: int = Field(10, ge=1, le=100_000, description="Tokens that tell nothing.")
    answers: int = Field(10, gt=1, le=100_000, description="Tokens of which exactly one is in a sequence.")
    length: int = Field(
        40, ge=1, le=10_000, description="Tokens between the first and the last, which are the same in all."
    )


Task = Annotated[
    ModularAddition
    | ModularSubtraction
    | IntegerAddition
    | PairTable
    | FiveDigitAddition
    | RepeatedSubsequence
    | SkipTrigram,
    Field(discriminator="kind"),
]
TASKS: dict[str, type[Section]] = {
    get_args(task.model_fields["kind"].annotation)[0]: task for task in get_args(get_args(Task)[0])
}
"""Every task's fields, by its kind."""

SEQUENCE_TASKS = ("five_digit_addition", "repeated_subsequence", "skip_trigram")
"""Kinds of task whose examples are drawn, and not all pairs `a b =`."""


class Split(Section):
    """Which pairs are trained on; of tasks on sequences, how many examples."""

    method: Literal["shuffle", "randperm"] = Field(
        "shuffle",
        description="`shuffle`: Python's random.shuffle of the lexicographic pairs, as the paper's authors did; "
        "`randperm`: torch.randperm on the CPU, as the notebooks do. The first `train_fraction` are trained on.",
    )
    train_fraction: float = Field(0.3, gt=0, lt=1, description="Share of all pairs that is trained on.")
    seed: int | None = Field(
        None,
        ge=0,
        le=LARGEST_SEED,
        description="Seed of the split, or of the examples; the run's seed where absent. "
        "Test examples are drawn from the next seed.",
    )
    examples: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Sequences only: how many are trained on, drawn once. Where absent, data are as good as infinite: "
        "each update sees `training.batch` fresh ones.",
    )
    test_examples: int = Field(
        1024, ge=1, le=1_000_000, description="Sequences only: how many are tested on, drawn once."
    )


class Model(Section):
    """The network (appendix A): pre-residual, no LayerNorm, learned positions, causal attention, ReLU."""

    layers: int = Field(1, ge=1, le=100, description="Transformer blocks.")
    d_model: int = Field(128, ge=1, le=100_000, description="Width of the residual stream.")
    heads: int = Field(4, ge=1, le=10_000, description="Attention heads a layer.")
    d_head: int = Field(32, ge=1, le=100_000, description="Width of a head.")
    d_mlp: int = Field(512, ge=1, le=1_000_000, description="Neurons a layer.")
    attention_only: bool = Field(False, description="Leave out the MLPs.")
    mlp_biases: bool = Field(True, description="Train b_in and b_out (zero at first); without, there are none.")
    doubled_residual: bool = Field(
        False,
        description="x ← 2x + attention(x) instead of x + attention(x), in attention-only networks: a slip of the "
        "authors' saved repeated-subsequence runs, which added the residual stream twice.",
    )
    initialization: Literal["paper", "transformer_lens", "authors", "authors_by_head"] = Field(
        "paper",
        description="`paper`: N(0, 1/d_model), W_U N(0, 1/vocabulary); `transformer_lens`: "
        "N(0, 0.64/d_model), drawn as TransformerLens 1 and 2 do, bit for bit; `authors`: N(0, 1/d_model), W_U "
        "N(0, 1/outputs), drawn as the authors' code for other tasks does, bit for bit; `authors_by_head`: so drawn, but "
        "W_Q, W_K and W_V N(0, 1/d_head) and W_U N(0, 1/vocabulary), as in their repeated-subsequence runs.",
    )

    @property
    def weights(self) -> int:
        """How many the layers' matrices have."""
        attention = 4 * self.heads * self.d_head
        neurons = 0 if self.attention_only else 2 * self.d_mlp
        return self.layers * self.d_model * (attention + neurons)


class Training(Section):
    """AdamW, by the full batch unless there is a `batch`."""

    epochs: int = Field(gt=0, le=10_000_000, description="Updates; one is the full batch, or one `batch`.")
    learning_rate: float = Field(1e-3, gt=0, description="Of AdamW.")
    weight_decay: float = Field(1.0, ge=0, description="λ of AdamW, decoupled (section 3 takes 1).")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.98), description="Decay rates of Adam's two moments."
    )
    warmup: int = Field(
        10,
        ge=0,
        le=10_000_000,
        description="Linear warm-up: the learning rate of update t is scaled by min(t / warmup, 1), "
        "so with any warm-up the first update (t = 0) moves nothing.",
    )
    precision: Literal["float64", "float32_log1p", "float32"] = Field(
        "float32_log1p",
        description="How the cross-entropy is computed: `float64`; `float32_log1p`, as exact for small losses and half the "
        "work; `float32`, which loses small losses and causes slingshots (appendix D.2).",
    )
    batch: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Sequences only: examples an update. Where absent, all of `split.examples`; a smaller batch goes "
        "through them in an order drawn anew at each pass, and an epoch is an update, not a pass.",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the MLPs' neurons that each update sets to 0, for each example anew; the others are divided "
        "by the share kept (appendix D.1). Tests and measures are without.",
    )
    l1: float = Field(
        0.0,
        ge=0,
        description="λ of a penalty λ Σ|w| over all weights, not decoupled: its gradient is added to the loss's and passes "
        "through Adam (appendix D.1). Recorded losses are without it.",
    )
    checkpoint_every: int = Field(
        100, ge=1, le=10_000_000, description="Epochs between stored weights; must divide `epochs`."
    )
    evaluate_every: int = Field(
        100,
        ge=1,
        le=10_000_000,
        description="Epochs between test losses and accuracies in the history; must divide `epochs`.",
    )

    @model_validator(mode="after")
    def _cadence(self) -> "Training":
        for field in ("checkpoint_every", "evaluate_every"):
            if self.epochs % getattr(self, field):
                raise ValueError(f"`{field}` ({getattr(self, field)}) must divide `epochs` ({self.epochs})")
        return self


class Imported(Section):
    """Where a network comes from that was trained elsewhere: written by `progress-measures import`, not by hand."""

    model_config = ConfigDict(allow_inf_nan=True)

    file: str = Field(description="What was imported.")
    sha256: str = Field(description="Of that file.")
    format: str = Field(description="How its tensors are named and laid out.")
    recognized: list[str] = Field(description="What the file itself says, or its network's answers show.")
    assumed: list[str] = Field(description="What was taken for granted, with the option that changes it.")
    ignored: list[str] = Field(description="Tensors that were left aside.")
    layer_norm: bool = Field(False, description="Whether the network has LayerNorms.")
    split_known: bool = Field(
        True, description="Whether its training pairs are known; else only all pairs are measured."
    )
    settings: dict[str, str | int | float] = Field(
        default_factory=dict,
        description="Settings as cubes have them, where they differ from those above: NaN or `unknown` for what the file "
        "does not tell.",
    )


class Run(Section):
    """One trained network of an experiment."""

    experiment: str
    name: str
    seed: int = Field(ge=0, le=LARGEST_SEED)
    task: Task
    split: Split
    model: Model
    training: Training
    imported: Imported | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Run":
        mistakes = list(_mistakes(self))
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    @property
    def on_sequences(self) -> bool:
        """Whether the task's examples are drawn, and not all pairs `a b =`."""
        return self.task.kind in SEQUENCE_TASKS

    @property
    def one_layer(self) -> bool:
        """Whether all that comes before the ReLU can be written out: one layer with an MLP, and no LayerNorm."""
        return self.model.layers == 1 and not self.model.attention_only and not self.layer_norm

    @property
    def layer_norm(self) -> bool:
        """Whether it has LayerNorms, as some imported networks do."""
        return self.imported is not None and self.imported.layer_norm

    @property
    def split_unknown(self) -> bool:
        """Whether it is not known on which pairs it was trained, as of some imported networks."""
        return self.imported is not None and not self.imported.split_known

    @property
    def batch(self) -> int:
        """Examples an update, of a task on sequences."""
        return self.training.batch or self.split.examples or 0

    @property
    def split_seed(self) -> int:
        """Seed of the split: its own where given, else the run's."""
        return self.seed if self.split.seed is None else self.split.seed

    @cached_property
    def hash(self) -> str:
        """A short hash of all that the trained weights depend on.

        Defaults are left out, so that a field added later leaves the hashes of older runs alone.
        """
        config = self.model_dump(mode="json", exclude={"experiment", "name"}, exclude_defaults=True)
        for section in (config.get("model", {}), config.get("imported", {})):
            for old, new in RENAMED_FIELDS.items():
                if new in section:
                    section[old] = section.pop(new)
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting under one flat name, as coordinates along `run` in a cube."""
        return self.own_settings | (self.imported.settings if self.imported else {})

    @property
    def own_settings(self) -> dict[str, Any]:
        """Them as the sections have them, whatever an import says of them."""
        flat: dict[str, Any] = {"seed": self.seed, "split_seed": self.split_seed, "task": self.task.kind}
        flat |= self.task.model_dump(exclude={"kind", "answers"})
        if self.on_sequences:
            examples = math.inf if self.split.examples is None else float(self.split.examples)
            flat |= {"examples": examples, "test_examples": self.split.test_examples, "batch": self.batch}
        else:
            flat |= {"split_method": self.split.method, "train_fraction": self.split.train_fraction}
        flat |= self.model.model_dump() | self.training.model_dump(exclude={"betas", "batch"})
        flat |= {"beta1": self.training.betas[0], "beta2": self.training.betas[1]}
        return flat


def _mistakes(run: Run) -> Iterator[str]:
    """What does not go together, each mistake with its field."""
    split, training = run.split, run.training
    if run.on_sequences:
        if (split.method, split.train_fraction) != ("shuffle", 0.3):
            yield "`split.method` and `split.train_fraction` are for tasks on pairs; give `split.examples`"
        if not run.batch:
            yield "`training.batch` is needed, the fresh examples of an update, or `split.examples` for a fixed set"
        if split.examples is not None and split.examples % run.batch:
            yield f"`training.batch` ({training.batch}) must divide `split.examples` ({split.examples})"
    elif split.examples is not None or training.batch is not None or split.test_examples != 1024:
        fields = "`split.examples`, `split.test_examples` and `training.batch`"
        yield f"{fields} are for tasks on sequences: {', '.join(SEQUENCE_TASKS)}"
    elif not int(split.train_fraction * layout(run.task).operands ** 2):
        yield f"`split.train_fraction` ({split.train_fraction:g}) of {layout(run.task).operands}² pairs is less than one"
    if run.model.doubled_residual and not run.model.attention_only:
        yield "`model.doubled_residual` is for networks with `model.attention_only: true`"
    if training.dropout and run.model.attention_only:
        yield "`training.dropout` sets neurons to 0, of which a network with `model.attention_only: true` has none"
    if run.model.weights > MOST_WEIGHTS:
        yield f"`model` has {run.model.weights:.1e} weights in its layers; expected are at most {MOST_WEIGHTS:.0e}"
    unknown = sorted(set(run.imported.settings) - set(run.own_settings)) if run.imported else []
    if unknown:
        yield f"`imported.settings` has {unknown[0]!r:.60}, which is no setting of such a run"


class Experiment(Section):
    """A task, a model, a training recipe and a grid of runs."""

    title: str = Field(min_length=1, max_length=200, description="One line, for figures and reports.")
    description: str = Field("", description="What it is for, and where its settings come from.")
    reference: str = Field("", description="Where the settings stand in the sources.")
    seed: int = Field(
        0, ge=0, le=LARGEST_SEED, description="Of the initial weights, and of the split unless that has its own."
    )
    task: Task
    split: Split = Split()
    model: Model = Model()
    training: Training
    grid: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="Fields that differ between runs, each with its values: `seed`, or dotted names such as "
        "`training.weight_decay`. One run for each combination. Fields that go together are one key, with commas, and "
        "their values lists: `model.d_model, model.d_mlp: [[32, 128], [64, 256]]`. At most 10,000 runs.",
    )
    imported: Imported | None = Field(None, description="Of networks that were trained elsewhere; see below.")

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str) -> str:
        if not title.isprintable():
            raise ValueError("must be one line, without control characters")
        return title

    @field_validator("grid")
    @classmethod
    def _grid(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        allowed = {"seed"} | {
            f"{section}.{field}"
            for section, model in (("split", Split), ("model", Model), ("training", Training))
            for field in model.model_fields
        }
        allowed -= {"training.epochs", "training.checkpoint_every", "training.evaluate_every"}
        for key, values in grid.items():
            fields = _fields(key)
            for field in fields:
                if field not in allowed:
                    section, _, name = field.rpartition(".")
                    if name in RENAMED_FIELDS:
                        raise ValueError(f"`{field}` is now named `{section}.{RENAMED_FIELDS[name]}`; rename it")
                    listed = ", ".join(sorted(allowed))
                    raise ValueError(f"`{field:.60}` cannot vary within an experiment; choose from: {listed}")
            if len(fields) > 1 and not all(isinstance(v, list) and len(v) == len(fields) for v in values):
                raise ValueError(f"`{key}` needs lists of {len(fields)} values, one for each of its fields")
            if not values or len({repr(value) for value in values}) < len(values):
                raise ValueError(f"`{key}` needs one or more different values")
        every = [field for key in grid for field in _fields(key)]
        if len(set(every)) < len(every):
            raise ValueError(f"`{max(every, key=every.count)}` is there twice")
        count = math.prod(map(len, grid.values()))
        if count > MOST_RUNS:
            raise ValueError(f"makes {count:,} runs; expected are at most {MOST_RUNS:,}")
        names = Counter(map(_run_name, _combinations(grid)))
        worst = max(names, key=lambda name: (names[name], len(name)))
        if names[worst] > 1 or len(worst) > LONGEST_NAME:
            raise ValueError(f"runs need different names of at most {LONGEST_NAME} characters, found {worst:.250}")
        return grid

    @model_validator(mode="after")
    def _one_network(self) -> "Experiment":
        if self.imported and self.grid:
            raise ValueError("an `imported` network is one run, and has no `grid`")
        return self

    def runs(self, experiment: str) -> list[Run]:
        """The runs of the grid, the last key varying fastest.

        Args:
            experiment: the name of the file, which is the name of the experiment.
        """
        base = self.model_dump(include={"seed", "task", "split", "model", "training", "imported"})
        if self.imported:
            return [Run.model_validate(base | {"experiment": experiment, "name": "imported"})]
        return [
            Run.model_validate(_with(base, values) | {"experiment": experiment, "name": _run_name(values)})
            for values in _combinations(self.grid or {"seed": [self.seed]})
        ]


def _combinations(grid: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Every choice of a value for each key, the last key varying fastest."""
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _with(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    settings = {key: dict(value) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in values.items():
        fields = _fields(key)
        for name, one in zip(fields, value if len(fields) > 1 else [value], strict=True):
            section, _, field = name.rpartition(".")
            (settings[section] if section else settings)[field] = one
    return settings


def _fields(key: str) -> list[str]:
    """The fields of a grid's key; most often one."""
    return [field.strip() for field in key.split(",")]


def _run_name(values: dict[str, Any]) -> str:
    """`seed0`, `weight_decay0.3_seed1`: readable, and safe in paths and shells; fields that go together by their first."""
    firsts = {_fields(key)[0]: value[0] if "," in key else value for key, value in values.items()}
    parts = (f"{key.replace('split.seed', 'split_seed').rpartition('.')[2]}{value}" for key, value in firsts.items())
    return "_".join("".join(c if c.isalnum() or c in "._-" else "-" for c in part) for part in parts)
