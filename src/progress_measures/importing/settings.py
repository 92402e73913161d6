"""Express a foreign network as an experiment: its settings, what was recognized and what was assumed."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from progress_measures.errors import UserError
from progress_measures.experiments.load import validation_message
from progress_measures.experiments.schema import Experiment
from progress_measures.importing import recognize, splits
from progress_measures.importing.contents import Contents
from progress_measures.importing.names import FormatMatch, Weights
from progress_measures.importing.recognize import Reading

UNKNOWN_SETTINGS: dict[str, float | str] = {
    **dict.fromkeys(("learning_rate", "weight_decay", "warmup", "dropout", "l1", "beta1", "beta2"), math.nan),
    **dict.fromkeys(("precision", "initialization"), "unknown"),
}
"""Training settings that a file may omit, with their values in the cube if it does."""


class Options(NamedTuple):
    """What the user states about the file; None for what the import has to find.

    Attributes:
        names: path of a mapping file.
        split: training pairs, in one of the forms of `splits.FORMS`.
        operation: `a+b`, `a-b`, `sum`, `other`, or a file with the table of right answers.
        prime: number of values of a and of b.
        heads: number of heads.
        layer_norm: whether the network has LayerNorms.
        epoch: number of updates before the only checkpoint.
        precision: precision of the measurement.
    """

    names: Path | None = None
    split: str | None = None
    operation: str | None = None
    prime: int | None = None
    heads: int | None = None
    layer_norm: bool | None = None
    epoch: int | None = None
    precision: str = "float64"


class RecognizedNetwork(NamedTuple):
    """A foreign network in the project's terms.

    Attributes:
        experiment: settings, as in `experiment.yaml`.
        weights: tensors of each checkpoint, with our names and axes.
        epochs: number of updates before each checkpoint.
        split: training pairs.
    """

    experiment: Experiment
    weights: list[Weights]
    epochs: list[int]
    split: splits.ImportedSplit


def recognize_network(path: Path, contents: Contents, match: FormatMatch, options: Options) -> RecognizedNetwork:
    """Find what the file and the options do not state, and build the experiment.

    Args:
        path: path of the file or folder.
        contents: what the file contains.
        match: the last state dict, matched against its format.
        options: what the user states about the file.

    Returns:
        The experiment, and the weights, epochs and split of its only run.

    Raises:
        UserError: an option does not fit the file, or the network is not one on `a b =`.
    """
    recognized, assumed = [contents.layout], list(contents.assumed)
    n = recognize.operands(match.weights(heads=1), options.prime)
    reading = recognize.most_likely_reading(
        lambda heads: match.weights(heads=heads), _possible_heads(match), _possible_norms(contents, match, options), n
    )
    weights = _without_zero_biases([match.weights(state, reading.heads) for state in contents.states])
    last_weights = weights[-1]
    title = "".join(c if c.isprintable() else "?" for c in f"Imported from {path.name}")
    recognized.append(_architecture(last_weights, n, reading.layer_norm))
    if match.merged_head_size:
        assumed.append(
            f"{reading.heads} heads, with which the network gives its answers the highest probability (--heads)"
        )
    if reading.layer_norm and options.layer_norm is None and not any(name.startswith("ln") for name in last_weights):
        assumed.append(
            "LayerNorms with folded weights, with which the network gives its answers a higher probability "
            "(--no-layer-norm)"
        )
    operation, description, is_recognized = _operation(reading, options)
    (recognized if is_recognized else assumed).append(description)
    split = splits.find_split(options.split, contents, n)
    (recognized if split.stated else assumed).append(f"split {split.description}")
    epochs, description = _epochs(contents, options)
    assumed += [description] if description else []
    recipe, description = _recipe(contents)
    recognized += [description] if description else []
    content = {
        "title": title[:200],
        "seed": _seed(contents, split) or 0,
        "task": recognize.task(operation, n, last_weights["W_U"].shape[-1], reading),
        "split": {"method": split.method, "seed": split.seed, "train_fraction": split.fraction}
        if split.seed is not None
        else {},
        "model": _model(last_weights),
        "training": _training(epochs, recipe),
        "imported": {
            "file": path.name,
            "sha256": _hash(path),
            "format": match.format.title,
            "recognized": recognized,
            "assumed": assumed,
            "ignored": match.ignored,
            "layer_norm": reading.layer_norm,
            "split_known": split.train is not None,
            "settings": _settings_of_cube(contents, split, recipe),
        },
    }
    try:
        return RecognizedNetwork(Experiment.model_validate(content), weights, epochs, split)
    except ValidationError as error:
        raise UserError(validation_message(error, path)) from None


def _possible_heads(match: FormatMatch) -> list[int]:
    """List the possible numbers of heads; if there are several, those nearest to 4 come first."""
    if match.merged_head_size is None:
        return [match.sizes["head"]]
    return sorted(
        (count for count in range(1, match.merged_head_size + 1) if match.merged_head_size % count == 0),
        key=lambda count: abs(count - 4),
    )


def _possible_norms(contents: Contents, match: FormatMatch, options: Options) -> list[bool]:
    """List the possible values of whether the network has LayerNorms, the more likely first."""
    if options.layer_norm is not None:
        return [options.layer_norm]
    if any(name.startswith("ln") for name in match.weights(heads=1)):
        return [True]
    if "normalization_type" in contents.config:
        kind = contents.config["normalization_type"]
        if not (kind is None or (isinstance(kind, str) and kind in ("LN", "LNPre"))):
            raise UserError(
                f"the configuration in the file has normalization_type {kind!r:.60}; expected None, LN or LNPre. Set "
                "--layer-norm or --no-layer-norm."
            )
        return [kind is not None]
    return [False, True]


def _without_zero_biases(weights: list[Weights]) -> list[Weights]:
    """Drop biases that are zero at every checkpoint, such as frozen ones."""
    zero = {
        name for name in weights[0] if name.startswith("b_") and not any(tensors[name].any() for tensors in weights)
    }
    return [{name: tensor for name, tensor in tensors.items() if name not in zero} for tensors in weights]


def _architecture(weights: Weights, n: int, layer_norm: bool) -> str:
    """Describe the sizes, biases and LayerNorms of a network."""
    layers, heads, d_model, d_head = weights["W_Q"].shape
    neurons, outputs = weights["W_in"].shape[-1], weights["W_U"].shape[-1]
    biases = ", ".join(name for name in weights if name.startswith("b_")) or "none"
    dropped_output = ", of which the last is for `=` and is dropped" if outputs == n + 1 else ""
    return (
        f"{layers} layer{'s' * (layers > 1)}, d_model {d_model}, {heads} head{'s' * (heads > 1)} of d_head {d_head}, "
        f"{neurons} neurons; {n} values of a and b, {outputs} outputs{dropped_output}; biases: {biases}; "
        f"{'with' if layer_norm else 'without'} LayerNorm"
    )


def _operation(reading: Reading, options: Options) -> tuple[str, str, bool]:
    """Return the operation, a description of the evidence, and whether the operation is stated or recognized, not assumed."""
    agreement = ", ".join(f"{name} on {fraction:.2%}" for name, fraction in reading.agreement.items())
    evidence = (
        f"the network's answers follow {agreement} of all pairs"
        if agreement
        else "no operation was tested, since the number of values of a is not an odd prime and there are too few outputs "
        "for sums"
    )
    if options.operation is not None:
        return options.operation, f"operation {options.operation}, as given with --operation; {evidence}", True
    operation = recognize.operation(reading)
    if operation is None:
        return (
            "other",
            f"operation other, with the network's own answers as the right ones: {evidence} (--operation)",
            False,
        )
    return operation, f"operation {operation}: {evidence}", True


def _epochs(contents: Contents, options: Options) -> tuple[list[int], str]:
    """Return the number of updates before each checkpoint, and a description of what was assumed."""
    if options.epoch is not None:
        if len(contents.states) > 1:
            raise UserError(
                f"--epoch {options.epoch}: this option is for a single network, and the file has "
                f"{len(contents.states)} checkpoints. Omit it."
            )
        return [options.epoch], ""
    if contents.epochs is not None:
        return contents.epochs, ""
    return list(range(len(contents.states))), "epoch 0, since the file does not state the number of updates (--epoch)"


def _recipe(contents: Contents) -> tuple[dict[str, float], str]:
    """Return the training settings that the file states, and a description of contradictions.

    If the configuration and the optimizer's state differ, the optimizer's value is used.
    """
    sources: list[dict[str, float]] = []
    for source in (contents.config, contents.optimizer):
        settings = {}
        for field, setting in (
            ("lr", "learning_rate"),
            ("initial_lr", "learning_rate"),
            ("weight_decay", "weight_decay"),
        ):
            if _is_number(source.get(field)):
                settings[setting] = float(source[field])
        betas = source.get("betas")
        if isinstance(betas, list) and len(betas) == 2 and all(map(_is_number, betas)):
            settings["beta1"], settings["beta2"] = map(float, betas)
        sources.append(settings)
    config, optimizer = sources
    contradictions = [name for name in optimizer if name in config and config[name] != optimizer[name]]
    descriptions = [
        f"{name} {optimizer[name]:g}, from the optimizer's state; the configuration has {config[name]:g}"
        for name in contradictions
    ]
    return config | optimizer, "; ".join(descriptions)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _seed(contents: Contents, split: splits.ImportedSplit) -> int | None:
    """Return the configuration's seed if it is valid, else the seed of the split, which may be None."""
    seed = contents.config.get("seed")
    return seed if splits.is_seed(seed) else split.seed


def _model(weights: Weights) -> dict[str, Any]:
    """Return the fields of the section `model`."""
    layers, heads, d_model, d_head = weights["W_Q"].shape
    biases = "b_in" in weights or "b_out" in weights
    sizes = {"layers": layers, "d_model": d_model, "heads": heads, "d_head": d_head, "d_mlp": weights["W_in"].shape[-1]}
    return sizes | {"mlp_biases": biases}


def _training(epochs: list[int], recipe: dict[str, float]) -> dict[str, Any]:
    """Return the fields of the section `training`; omit a learning rate or weight decay that is unknown or zero."""
    interval = max(math.gcd(*epochs), 1)
    stated: dict[str, Any] = {name: recipe[name] for name in ("learning_rate", "weight_decay") if recipe.get(name)}
    if "beta1" in recipe:
        stated["betas"] = [recipe["beta1"], recipe["beta2"]]
    return {"epochs": max(epochs[-1], 1), "checkpoint_every": interval, "evaluate_every": interval} | stated


def _settings_of_cube(
    contents: Contents, split: splits.ImportedSplit, recipe: dict[str, float]
) -> dict[str, float | str]:
    """Return the settings whose values in the cube differ from `experiment.yaml`, such as NaN for unknown ones."""
    settings = {name: value for name, value in UNKNOWN_SETTINGS.items() if name not in recipe}
    if recipe.get("weight_decay") == 0:
        settings["weight_decay"] = 0.0
    if _seed(contents, split) is None:
        settings["seed"] = math.nan
    if split.seed is None:
        fraction = math.nan if split.train is None else float(split.train.mean())
        settings |= {"split_method": split.method, "split_seed": math.nan, "train_fraction": fraction}
    return settings


def _hash(path: Path) -> str:
    """Compute the SHA-256 of a file, or of a folder's files in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()
