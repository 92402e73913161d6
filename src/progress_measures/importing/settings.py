"""The experiment that a foreign network is: its settings in our words, with what was recognized and what assumed."""

import hashlib
import math
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from progress_measures.errors import UserError
from progress_measures.experiments.load import explain
from progress_measures.experiments.schema import Experiment
from progress_measures.importing import recognize, splits
from progress_measures.importing.contents import Contents
from progress_measures.importing.names import FormatMatch, Weights
from progress_measures.importing.recognize import Reading

NOT_TOLD: dict[str, float | str] = {
    **dict.fromkeys(("learning_rate", "weight_decay", "warmup", "dropout", "l1", "beta1", "beta2"), math.nan),
    **dict.fromkeys(("precision", "initialization"), "unknown"),
}
"""Settings of a training that a file may not tell, as cubes then have them."""


class Options(NamedTuple):
    """What the user says of the file; None where it is to be found out."""

    names: Path | None = None
    split: str | None = None
    operation: str | None = None
    prime: int | None = None
    heads: int | None = None
    layer_norm: bool | None = None
    epoch: int | None = None
    precision: str = "float64"


class Recognized(NamedTuple):
    """A foreign file in our words.

    Attributes:
        experiment: its settings, as `experiment.yaml` has them.
        weights: of each checkpoint, under our names.
        epochs: updates done before each.
        split: its training pairs.
    """

    experiment: Experiment
    weights: list[Weights]
    epochs: list[int]
    split: splits.ImportedSplit


def recognized(path: Path, held: Contents, fit: FormatMatch, options: Options) -> Recognized:
    """Find out what a file does not say.

    Args:
        path: of the file.
        held: what is in it.
        fit: how its last state dict is read.
        options: what is not to be found out.
    Raises:
        UserError: an option does not fit the file, or the network is none on `a b =`.
    """
    sure, assumed = [held.layout], list(held.assumed)
    n = recognize.operands(fit.weights(heads=1), options.prime)
    reading = recognize.likeliest(
        lambda heads: fit.weights(heads=heads), _possible_heads(fit), _possible_norms(held, fit, options), n
    )
    weights = _without_idle([fit.weights(state, reading.heads) for state in held.states])
    last = weights[-1]
    title = "".join(c if c.isprintable() else "?" for c in f"Imported from {path.name}")
    sure.append(_size(last, n, reading.layer_norm))
    if fit.merged:
        assumed.append(f"{reading.heads} heads, with which it is surest of its answers (--heads)")
    if reading.layer_norm and options.layer_norm is None and not any(name.startswith("ln") for name in last):
        assumed.append("LayerNorms with weights folded away, with which it is surest of its answers (--no-layer-norm)")
    operation, words, given = _operation(reading, options)
    (sure if given else assumed).append(words)
    split = splits.split(options.split, held, n)
    (sure if split.given else assumed).append(f"split {split.words}")
    epochs, words = _epochs(held, options)
    assumed += [words] if words else []
    recipe, words = _recipe(held)
    sure += [words] if words else []
    content = {
        "title": title[:200],
        "seed": _seed(held, split) or 0,
        "task": recognize.task(operation, n, last["W_U"].shape[-1], reading),
        "split": {"method": split.method, "seed": split.seed, "train_fraction": split.fraction}
        if split.seed is not None
        else {},
        "model": _model(last),
        "training": _training(epochs, recipe),
        "imported": {
            "file": path.name,
            "sha256": _hash(path),
            "format": fit.format.title,
            "recognized": sure,
            "assumed": assumed,
            "ignored": fit.ignored,
            "layer_norm": reading.layer_norm,
            "split_known": split.train is not None,
            "settings": _not_told(held, split, recipe),
        },
    }
    try:
        return Recognized(Experiment.model_validate(content), weights, epochs, split)
    except ValidationError as error:
        raise UserError(explain(error, path)) from None


def _possible_heads(fit: FormatMatch) -> list[int]:
    """How many heads there may be, the likeliest first."""
    if fit.merged is None:
        return [fit.sizes["head"]]
    return sorted(
        (count for count in range(1, fit.merged + 1) if fit.merged % count == 0), key=lambda count: abs(count - 4)
    )


def _possible_norms(held: Contents, fit: FormatMatch, options: Options) -> list[bool]:
    """Whether the network may have LayerNorms, the likeliest first."""
    if options.layer_norm is not None:
        return [options.layer_norm]
    if any(name.startswith("ln") for name in fit.weights(heads=1)):
        return [True]
    if "normalization_type" in held.config:
        kind = held.config["normalization_type"]
        if not (kind is None or (isinstance(kind, str) and kind in ("LN", "LNPre"))):
            raise UserError(f"its configuration has normalization_type {kind!r:.60}; known are None, LN and LNPre.")
        return [kind is not None]
    return [False, True]


def _without_idle(weights: list[Weights]) -> list[Weights]:
    """Leave out biases that are zero throughout, as frozen ones are."""
    idle = {name for name in weights[0] if name.startswith("b_") and not any(one[name].any() for one in weights)}
    return [{name: tensor for name, tensor in one.items() if name not in idle} for one in weights]


def _size(weights: Weights, n: int, layer_norm: bool) -> str:
    """The architecture, in words."""
    layers, heads, d_model, d_head = weights["W_Q"].shape
    neurons, outputs = weights["W_in"].shape[-1], weights["W_U"].shape[-1]
    biases = ", ".join(name for name in weights if name.startswith("b_")) or "none"
    equals = ", of which the last is `=` and dropped" if outputs == n + 1 else ""
    return (
        f"{layers} layer{'s' * (layers > 1)}, d_model {d_model}, {heads} heads of {d_head}, {neurons} neurons; {n} values of "
        f"a and b, {outputs} outputs{equals}; biases: {biases}; {'with' if layer_norm else 'no'} LayerNorm"
    )


def _operation(reading: Reading, options: Options) -> tuple[str, str, bool]:
    """The operation; how it was found, in words; whether it is sure."""
    shares = ", ".join(f"{name} on {share:.2%}" for name, share in reading.shares.items())
    follows = (
        f"its answers follow {shares} of all pairs"
        if shares
        else "no operation was tried, a having no prime number of values"
    )
    if options.operation is not None:
        return options.operation, f"operation {options.operation}, as given; {follows}", True
    found = recognize.operation(reading)
    if found is None:
        return "other", f"operation other, its own answers being taken as right: {follows} (--operation)", False
    return found, f"operation {found}: {follows}", True


def _epochs(held: Contents, options: Options) -> tuple[list[int], str]:
    """Updates done before each checkpoint, and what was assumed."""
    if options.epoch is not None:
        if len(held.states) > 1:
            raise UserError(
                f"--epoch {options.epoch}: is for a single network; the file has {len(held.states)} checkpoints."
            )
        return [options.epoch], ""
    if held.epochs is not None:
        return held.epochs, ""
    return list(range(len(held.states))), "epoch 0, the file not saying how long it was trained (--epoch)"


def _recipe(held: Contents) -> tuple[dict[str, float], str]:
    """What is known of the training, and where the file contradicts itself: the optimizer's own account is right then."""
    told: list[dict[str, float]] = []
    for source in (held.config, held.optimizer):
        found = {}
        for theirs, ours in (
            ("lr", "learning_rate"),
            ("initial_lr", "learning_rate"),
            ("weight_decay", "weight_decay"),
        ):
            if _is_number(source.get(theirs)):
                found[ours] = float(source[theirs])
        betas = source.get("betas")
        if isinstance(betas, list) and len(betas) == 2 and all(map(_is_number, betas)):
            found["beta1"], found["beta2"] = map(float, betas)
        told.append(found)
    config, optimizer = told
    wrong = [name for name in optimizer if name in config and config[name] != optimizer[name]]
    words = [
        f"{name} {optimizer[name]:g}, as its optimizer had it; its configuration says {config[name]:g}"
        for name in wrong
    ]
    return config | optimizer, "; ".join(words)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _seed(held: Contents, split: splits.ImportedSplit) -> int | None:
    seed = held.config.get("seed")
    return seed if splits.is_seed(seed) else split.seed


def _model(weights: Weights) -> dict[str, Any]:
    layers, heads, d_model, d_head = weights["W_Q"].shape
    biases = "b_in" in weights or "b_out" in weights
    sizes = {"layers": layers, "d_model": d_model, "heads": heads, "d_head": d_head, "d_mlp": weights["W_in"].shape[-1]}
    return sizes | {"mlp_biases": biases}


def _training(epochs: list[int], recipe: dict[str, float]) -> dict[str, Any]:
    every = max(math.gcd(*epochs), 1)
    known: dict[str, Any] = {name: recipe[name] for name in ("learning_rate", "weight_decay") if recipe.get(name)}
    if "beta1" in recipe:
        known["betas"] = [recipe["beta1"], recipe["beta2"]]
    return {"epochs": max(epochs[-1], 1), "checkpoint_every": every, "evaluate_every": every} | known


def _not_told(held: Contents, split: splits.ImportedSplit, recipe: dict[str, float]) -> dict[str, float | str]:
    """Settings as cubes have them where the experiment's own would say more than is known."""
    unknown = {name: value for name, value in NOT_TOLD.items() if name not in recipe}
    if recipe.get("weight_decay") == 0:
        unknown["weight_decay"] = 0.0
    if _seed(held, split) is None:
        unknown["seed"] = math.nan
    if split.seed is None:
        fraction = math.nan if split.train is None else float(split.train.mean())
        unknown |= {"split_method": split.method, "split_seed": math.nan, "train_fraction": fraction}
    return unknown


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()
