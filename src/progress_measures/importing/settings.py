"""Express a network trained elsewhere as an experiment: its settings, and where each of them comes from.

A design says how a network computes with its weights. A doubt is a text that says what contradicts a setting that was
found.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.special import log_softmax

from progress_measures.errors import UserError
from progress_measures.experiments.load import validation_message
from progress_measures.experiments.schema import Experiment
from progress_measures.importing import designs, operations, recognize, splits
from progress_measures.importing.contents import Contents, Losses
from progress_measures.importing.findings import Choice, Finding, Source
from progress_measures.importing.names import FormatMatch, Weights
from progress_measures.importing.operations import CandidateOperation
from progress_measures.importing.sizes import Sizes, find_sizes
from progress_measures.importing.splits import ImportedSplit, TrainAndTestLoss
from progress_measures.importing.stated import is_number
from progress_measures.tasks.tokens import TokenLayout

UNKNOWN_SETTINGS: dict[str, float | str] = {
    **dict.fromkeys(("learning_rate", "weight_decay", "warmup", "dropout", "l1", "beta1", "beta2"), math.nan),
    **dict.fromkeys(("precision", "initialization"), "unknown"),
}
"""Values that stand in the cube for settings that the import does not find.

Of these settings, `_recipe` reads four from a file that states them; the others are always unknown.
"""

NO_LEAD = "no operation leads the others"
"""Doubt if answers follow two operations almost equally often: fractions differ by less than `recognize.MIN_GAP`."""

MAX_ACCURACY_DIFFERENCE = 0.02
"""Largest difference between an accuracy that the file states and the accuracy that we compute."""


class Options(NamedTuple):
    """What the user states about the file. For None, or an empty `model`, the import finds the value itself.

    Attributes:
        mapping_file: path of a mapping file (names and axis orders of the file's tensors), the option `--map`.
        split: training pairs, in one of the forms of `splits.FORMS`.
        operation: `a+b`, `a-b`, `b-a`, `a*b`, `a/b`, `sum`, `s5`, an expression of a and b, or a file with right answers.
        modulus: number n of operand values.
        tokens: the layout of the tokens, as in `tasks.tokens`.
        read: the answer position, or `last`.
        heads: number of heads.
        model: fields of the section `model`, such as `activation`.
        epoch: number of updates before the only checkpoint.
        precision: precision of the measurement, `float64` or `float32`.
        key: key under which the file has the networks.
        forward: `FILE.py:FUNCTION` of the user's forward pass.
        accept_doubtful: whether to import a network despite doubts.
    """

    mapping_file: Path | None = None
    split: str | None = None
    operation: str | None = None
    modulus: int | None = None
    tokens: str | None = None
    read: int | str | None = None
    heads: int | None = None
    model: Mapping[str, Any] = {}
    epoch: int | None = None
    precision: str = "float64"
    key: str | None = None
    forward: str | None = None
    accept_doubtful: bool = False


class RecognizedNetwork(NamedTuple):
    """A network trained elsewhere, in the project's terms.

    Attributes:
        experiment: settings, as in `experiment.yaml`.
        weights: tensors of each checkpoint, with our names and axes; activations if the forward pass is the user's.
        epochs: number of updates before each checkpoint.
        split: training pairs.
        findings: what is known about the network, and where each value comes from.
        agreement: fraction of pairs whose answers follow each operation that was tested.
        doubts: what contradicts the findings; empty if nothing does.
    """

    experiment: Experiment
    weights: list[Weights]
    epochs: list[int]
    split: ImportedSplit
    findings: list[Finding]
    agreement: dict[str, float]
    doubts: list[str]


class ComputedNetwork(NamedTuple):
    """A network with its logits, computed by its design or by the user's forward pass.

    Attributes:
        stored: what is stored of each checkpoint: tensors with our names and axes, or activations.
        logits: logits of all pairs at the last checkpoint [pair, output].
        sizes: n, the layout of the tokens, the answer position and the number of outputs.
        tested: the operations that the network is tested for.
        findings: what is known about tensors and design.
        doubts: what contradicts the design.
        tried: the designs that were tried, as a text for messages, such as `6 designs`.
        model: fields of the section `model`.
        provenance: fields of the section `imported` that depend on whether the design or the user's forward pass
            computed the logits.
        unknown: what the cube has for each unknown field of `model`: `unknown`, or NaN for a number.
    """

    stored: list[Weights]
    logits: NDArray[np.floating]
    sizes: Sizes
    tested: list[CandidateOperation]
    findings: list[Finding]
    doubts: list[str]
    tried: str
    model: dict[str, Any]
    provenance: dict[str, Any]
    unknown: dict[str, float | str]


def computed_by_design(path: Path, contents: Contents, match: FormatMatch, options: Options) -> ComputedNetwork:
    """Find the design of a network, and compute its logits with it.

    Args:
        path: path of the file or folder.
        contents: what the file contains.
        match: the state dict of the last checkpoint, matched against its format.
        options: what the user states about the file.

    Returns:
        The network with its design and its logits at the last checkpoint.

    Raises:
        UserError: an option does not fit the file, or the network does not take pairs a, b.
    """
    choices = designs.stated_fields(contents, match, options.model, path)
    designs.check_norms(choices, match)
    sizes = _sizes(contents, match, options, choices)
    layout = TokenLayout.parse(sizes.tokens.value, sizes.operands.value)
    answer_position = len(layout.slots) - 1 if sizes.read.value == "last" else int(sizes.read.value)
    tested = operations_of(options, sizes)
    chosen = recognize.choose_design(designs.possible_designs(choices, match), match, tested, layout, answer_position)
    design, heads = chosen.fit.design, chosen.fit.heads
    weights = _without_zero_biases([match.weights(state, heads) for state in contents.states])
    logits = recognize.pair_logits(
        weights[-1], design, layout, answer_position, np.arange(layout.operand_count**2), np.float64
    )
    recognize.check_finite(logits, path)
    findings = [
        Finding("names of tensors", match.format.title, "mapping file" if options.mapping_file else "tensors"),
        Finding("architecture", _describe_architecture(weights[-1]), "tensors"),
        *_design_findings(design, choices, chosen, match),
    ]
    return ComputedNetwork(
        stored=weights,
        logits=logits,
        sizes=sizes,
        tested=tested,
        findings=findings,
        doubts=designs.contradictions(contents, match, choices, path)
        + _size_doubts(contents, weights[-1], sizes)
        + _weight_norm_doubts(contents, match.ignored),
        tried=f"{chosen.tested} designs" if chosen.tested > 1 else "the stated design",
        model=designs.model_section(weights[-1], design),
        provenance={"format": match.format.title, "ignored": match.ignored},
        unknown={},
    )


def recognize_network(path: Path, contents: Contents, computed: ComputedNetwork, options: Options) -> RecognizedNetwork:
    """Find the operation, the split and the training settings of a network, and build the experiment.

    Args:
        path: path of the file or folder.
        contents: what the file contains.
        computed: the network with its logits.
        options: what the user states about the file.

    Returns:
        The experiment, and the weights, epochs and split of its only run.

    Raises:
        UserError: an option does not fit the file; or `accept_doubtful` is false and there are doubts.
    """
    logits, sizes, tested = computed.logits, computed.sizes, computed.tested
    agreement = recognize.agreement(logits, tested)
    operation, operation_choice = _operation(options, tested, agreement, path, computed.tried)
    defined = operation.task.defined()
    pair_losses = _pair_losses(logits, operation.labels).reshape(defined.shape)
    split = splits.find_split(options.split, contents, _file_losses(contents), pair_losses, defined)
    epochs, epoch_finding = _epochs(contents, options)
    recipe, recipe_findings = _recipe(contents)
    correct = (logits.argmax(-1) == operation.labels.ravel()).reshape(defined.shape)
    contradictions = [line for line in contents.contradictions if not _is_from_optimizer(line, contents)]
    doubts = [*computed.doubts, *contradictions, *_operation_doubts(operation, operation_choice, agreement)]
    doubts += ([split.doubt] if split.doubt else []) + _accuracy_doubts(contents, split, correct, defined)
    findings = [
        Finding("contents", contents.layout, "file"),
        *computed.findings,
        sizes.operands.finding("n", f"{sizes.operands.value} values of a and b"),
        Finding(
            "outputs",
            _describe_outputs(sizes.outputs, int(operation.labels.max()) + 1),
            "inferred" if computed.provenance.get("logits_only") else "tensors",
        ),
        sizes.tokens.finding("tokens"),
        *([sizes.read.finding("answer position")] if sizes.read.value != "last" else []),
        operation_choice.finding("operation", operation.name),
        split.finding,
        epoch_finding,
        *recipe_findings,
    ]
    if contents.skipped:
        findings.append(Finding("skipped", "; ".join(contents.skipped), "file"))
    used = {finding.detail for finding in computed.findings if finding.source == "file"}
    if unused := [place for place in contents.unused if place not in used]:
        findings.append(Finding("not interpreted", ", ".join(unused), "file"))
    experiment_fields = {
        "title": "".join(c if c.isprintable() else "?" for c in f"Imported from {path.name}")[:200],
        "seed": _seed(contents, split) or 0,
        "task": operation.task.model_dump(exclude_defaults=True) | {"kind": operation.task.kind},
        "split": {"method": split.method, "seed": split.seed, "train_fraction": split.fraction}
        if split.seed is not None
        else {},
        "model": computed.model,
        "training": _training(epochs, recipe),
        "imported": {
            "file": path.name,
            "sha256": _hash(path),
            "recognized": [_line(finding) for finding in findings if finding.source != "assumed"],
            "assumed": [_line(finding) for finding in findings if finding.source == "assumed"],
            "doubts": doubts,
            "split_known": split.train is not None,
            "settings": _settings_of_cube(contents, split, recipe) | computed.unknown,
        }
        | computed.provenance,
    }
    if doubts and not options.accept_doubtful:
        raise UserError(_refusal(path, doubts, agreement))
    try:
        experiment = Experiment.model_validate(experiment_fields)
        experiment.runs(path.stem)  # raises an error if sections of the experiment contradict each other
    except ValidationError as error:
        raise UserError(validation_message(error, path)) from None
    return RecognizedNetwork(experiment, computed.stored, epochs, split, findings, agreement, doubts)


TRANSPOSED = (
    "; safetensors.numpy.save_file (version 0.8.0) writes the entries of a transposed array in a wrong order: if the file was "
    "written so, save numpy.ascontiguousarray of each array"
)
"""Part of a doubt: what may be wrong with a .safetensors file whose network follows no operation."""


def _line(finding: Finding) -> str:
    return f"{finding.setting} {finding.value} ({finding.origin})"


def _refusal(path: Path, doubts: list[str], agreement: Mapping[str, float]) -> str:
    tried = ", ".join(f"{name} on {fraction:.2%}" for name, fraction in agreement.items())
    return (
        f"{path}: not imported, because {'; '.join(doubts)}. Its answers follow {tried} of the pairs. State what the file "
        "does not say: --tokens, --modulus, --operation, --split, --heads, --model activation=…, or in a mapping file; give "
        "the forward pass with --forward; or import it all the same with --accept-doubtful, which marks it as doubtful."
    )


def _sizes(contents: Contents, match: FormatMatch, options: Options, choices: Mapping[str, Choice]) -> Sizes:
    """Return n, the layout of the tokens, the answer position and the number of outputs, as stated or from the tensors."""
    in_format = match.format.settings
    tokens = Choice(options.tokens, "option") if options.tokens else None
    tokens = tokens or (Choice(str(in_format["tokens"]), "mapping file") if "tokens" in in_format else None)
    read = Choice(options.read, "option") if options.read is not None else None
    read = read or (Choice(in_format["read"], "mapping file") if "read" in in_format else None)
    one_hot = "mlp_input" in choices and choices["mlp_input"].value == "one_hot"
    return find_sizes(match.weights(heads=1), one_hot, tokens, read, stated_modulus(contents, options))


def stated_modulus(contents: Contents, options: Options) -> Choice | None:
    """Return the stated number n of operand values.

    Args:
        contents: what the file contains.
        options: what the user states; it takes precedence over the file.

    Returns:
        The number with its source; None if neither states it.
    """
    if options.modulus:
        return Choice(options.modulus, "option", "--modulus")
    stated = contents.stated.get("modulus")
    if stated and type(stated.value) is int and stated.value > 1:
        return Choice(stated.value, "file", stated.source)
    return None


def operations_of(options: Options, sizes: Sizes) -> list[CandidateOperation]:
    """Return the operations that the network is tested for; the one that the user states, if any, comes first.

    Args:
        options: what the user states about the file.
        sizes: n, the layout of the tokens, the answer position and the number of outputs.

    Raises:
        UserError: the stated operation does not fit the sizes, or none is stated and no known operation fits.
    """
    n, tokens, read = sizes.operands.value, sizes.tokens.value, sizes.read.value
    candidates = operations.candidates(n, sizes.outputs, tokens, read)
    if options.operation is not None:
        task = operations.task_of_operation(options.operation, n, sizes.outputs, tokens, read)
        return [
            CandidateOperation(options.operation, task),
            *(other for other in candidates if other.name != options.operation),
        ]
    if not candidates:
        raise UserError(
            f"the network has {sizes.outputs} outputs for {n} values of a and b; no operation fits these sizes. State it with "
            "--operation, and n with --modulus."
        )
    return candidates


def _operation(
    options: Options, tested: list[CandidateOperation], agreement: Mapping[str, float], path: Path, tried: str
) -> tuple[CandidateOperation, Choice]:
    """Return the operation, and its name with the source `option`, `inferred` or `assumed`.

    Raises:
        UserError: the user states no operation, the answers follow none clearly, and `accept_doubtful` is false.
    """
    evidence = ", ".join(f"{name} {fraction:.2%}" for name, fraction in agreement.items())
    by_name = {operation.name: operation for operation in tested}
    if options.operation is not None:
        return by_name[options.operation], Choice(options.operation, "option", f"agreement with {evidence}")
    name = recognize.chosen_operation(agreement)
    if name is None:
        best = max(agreement, key=lambda operation: agreement[operation])
        if options.accept_doubtful:
            return by_name[best], Choice(best, "assumed", f"highest agreement: {evidence} (--operation)")
        doubt = f"its answers follow no operation on half of the pairs or more (tried with {tried})"
        if agreement[best] >= recognize.MIN_AGREEMENT:
            doubt = NO_LEAD
        elif path.suffix == ".safetensors":
            doubt += TRANSPOSED
        raise UserError(_refusal(path, [doubt], agreement))
    return by_name[name], Choice(name, "inferred", f"agreement with {evidence}")


def _operation_doubts(operation: CandidateOperation, choice: Choice, agreement: Mapping[str, float]) -> list[str]:
    """Return a doubt if few answers follow the operation, or if it is assumed because no operation leads the others."""
    fraction = agreement[operation.name]
    if fraction < recognize.MIN_AGREEMENT:
        return [f"only {fraction:.2%} of its answers are those of {operation.name}"]
    return [NO_LEAD] if choice.source == "assumed" else []


def _pair_losses(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cross-entropy of every pair in nats, 0 for a pair without a right answer (label -1): [pair]."""
    flat = labels.ravel()
    losses = -np.take_along_axis(log_softmax(logits, -1), np.maximum(flat, 0)[:, None], -1)[:, 0]
    return np.where(flat >= 0, losses, 0.0)


def _file_losses(contents: Contents) -> TrainAndTestLoss:
    """Return the losses that the file states for its last checkpoint; None for a loss that it does not state."""

    def last_loss(losses: Losses | None, setting: str) -> float | None:
        """Return the last loss recorded at or before the last checkpoint, or the first one if all are later.

        If the checkpoint's epoch is unknown, return the last recorded loss. If no losses are recorded, return the
        single loss that the file states under `setting`, or None.
        """
        last_epoch = contents.epochs[-1] if contents.epochs else None
        if losses is not None and len(losses.values):
            index = len(losses.values) - 1
            if last_epoch is not None:
                index = max(int(np.searchsorted(losses.updates, last_epoch, side="right")) - 1, 0)
            return float(losses.values[index])
        stated = contents.stated.get(setting)
        return float(stated.value) if stated and is_number(stated.value) else None

    return TrainAndTestLoss(last_loss(contents.train, "train_loss"), last_loss(contents.test, "test_loss"))


def _accuracy_doubts(
    contents: Contents, split: ImportedSplit, correct: NDArray[np.bool_], defined: NDArray[np.bool_]
) -> list[str]:
    """Describe accuracies in the file that differ from those we compute; none if the split is unknown."""
    if split.train is None:
        return []
    doubts = []
    for setting, mask in (("train_accuracy", split.train), ("test_accuracy", defined & ~split.train)):
        stated = contents.stated.get(setting)
        if stated is None or not is_number(stated.value):
            continue
        computed = float(correct[mask].mean())
        if abs(computed - stated.value) > MAX_ACCURACY_DIFFERENCE:
            doubts.append(f"{stated.source} is {stated.value:.4g} in the file, and we compute {computed:.4g}")
    return doubts


def _size_doubts(contents: Contents, weights: Weights, sizes: Sizes) -> list[str]:
    """Describe sizes in the file's configuration that differ from those of its tensors."""
    actual = {"d_model": weights["W_E"].shape[-1] if "W_E" in weights else None, "outputs": sizes.outputs}
    if "W_Q" in weights:
        layers, heads, _, d_head = weights["W_Q"].shape
        actual |= {"layers": layers, "heads": heads, "d_head": d_head, "vocabulary": len(weights["W_E"])}
        actual |= {"d_mlp": weights["W_in"].shape[-1]} if "W_in" in weights else {}
    doubts = []
    for setting, size in actual.items():
        stated = contents.stated.get(setting)
        if stated and type(stated.value) is int and stated.value > 0 and size is not None and stated.value != size:
            doubts.append(f"{stated.source} is {stated.value} in the file, and its tensors have {size}")
    return doubts


def _weight_norm_doubts(contents: Contents, ignored: list[str]) -> list[str]:
    """Describe a weight norm that the file states and that differs from the norm of its tensors.

    The stated number may be the norm or the squared norm, of all tensors or of those that the format does not ignore.
    """
    stated = contents.stated.get("weight_norm")
    if stated is None or not is_number(stated.value):
        return []
    squares = {
        name: float(np.square(tensor, dtype=np.float64).sum())
        for name, tensor in contents.states[-1].items()
        if tensor.dtype.kind == "f"
    }
    sums = [sum(squares.values()), sum(square for name, square in squares.items() if name not in ignored)]
    norms = [*sums, *(total**0.5 for total in sums)]
    if any(math.isclose(stated.value, norm, rel_tol=1e-3) for norm in norms):
        return []
    return [f"{stated.source} is {stated.value:.5g} in the file, and the norm of its tensors is {sums[1] ** 0.5:.5g}"]


def _design_findings(
    design: designs.ModelFields, choices: Mapping[str, Choice], chosen: recognize.ChosenDesign, match: FormatMatch
) -> list[Finding]:
    """Return the fields of the design with their sources."""
    findings = []
    for name, value in design.items():
        text = (
            "default" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
        )
        if name in choices:
            findings.append(choices[name].finding(name, text))
        elif name in chosen.undecided:
            detail = f"{_describe_alternatives(chosen.undecided[name])} as well (--model {name}=…)"
            findings.append(Finding(name, text, "assumed", detail))
        else:
            detail = f"of {chosen.tested} designs, this gives right answers the highest probability"
            findings.append(
                Finding(name, text, "inferred", detail) if chosen.tested > 1 else Finding(name, text, "tensors")
            )
    defaults = designs.paper_defaults(design, match)
    if defaults:
        detail = "as in the paper's design (--model FIELD=VALUE)"
        findings.append(Finding("not stated", ", ".join(defaults), "assumed", detail))
    if match.merged_head_size:
        detail = "with which right answers have the highest probability"
        source: Source = "assumed" if "heads" in chosen.undecided else "inferred"
        if source == "assumed":
            detail = f"{_describe_alternatives(chosen.undecided['heads'])} as well (--heads)"
        findings.append(Finding("heads", str(chosen.fit.heads), source, detail))
    return findings


def _describe_alternatives(values: list[Any]) -> str:
    """Return a text such as `gelu, silu fit`."""
    return f"{', '.join(map(str, values))} {'fits' if len(values) == 1 else 'fit'}"


def _without_zero_biases(weights: list[Weights]) -> list[Weights]:
    """Drop biases that are zero at every checkpoint, such as frozen ones."""
    zero = {
        name for name in weights[0] if name.startswith("b_") and not any(tensors[name].any() for tensors in weights)
    }
    return [{name: tensor for name, tensor in tensors.items() if name not in zero} for tensors in weights]


def _describe_architecture(weights: Weights) -> str:
    """Describe the sizes and biases of a network."""
    biases = ", ".join(name for name in weights if name.startswith("b_")) or "none"
    if "W_Q" not in weights:
        hidden = 1 + len(weights.get("W_hidden", ()))
        return f"an MLP of {hidden} hidden layer{'s' * (hidden > 1)} of {weights['W_in'].shape[-1]} neurons; biases: {biases}"
    layers, heads, d_model, d_head = weights["W_Q"].shape
    mlp = f"{weights['W_in'].shape[-1]} neurons" if "W_in" in weights else "no MLP"
    gated = ", gated" if "W_gate" in weights else ""
    return (
        f"{layers} layer{'s' * (layers > 1)}, d_model {d_model}, {heads} head{'s' * (heads > 1)} of d_head {d_head}, "
        f"{mlp}{gated}; biases: {biases}"
    )


def _epochs(contents: Contents, options: Options) -> tuple[list[int], Finding]:
    """Return the number of updates before each checkpoint, and where it comes from; 0, 1, … if nothing states it."""
    if options.epoch is not None:
        if len(contents.states) > 1:
            raise UserError(
                f"--epoch {options.epoch}: this option is for a single network, and the file has "
                f"{len(contents.states)} checkpoints. Omit it."
            )
        return [options.epoch], Finding("epoch", str(options.epoch), "option")
    if contents.epochs is not None:
        text = ", ".join(map(str, contents.epochs[:5])) + (
            f", … {contents.epochs[-1]}" if len(contents.epochs) > 5 else ""
        )
        name = "epoch" if len(contents.epochs) == 1 else f"epochs of {len(contents.epochs)} checkpoints"
        if contents.assumed_epochs:
            return contents.epochs, Finding(name, text, "assumed", contents.assumed_epochs)
        return contents.epochs, Finding(name, text, "file", contents.epochs_source)
    epochs = list(range(len(contents.states)))
    return epochs, Finding("epoch", "0", "assumed", "the file does not state the number of updates (--epoch)")


def _recipe(contents: Contents) -> tuple[dict[str, float], list[Finding]]:
    """Return the learning rate, weight decay and betas that the file states, and their findings.

    If the file states only one beta, the settings have neither.
    """
    settings: dict[str, float] = {}
    findings = []
    for name in ("learning_rate", "weight_decay", "beta1", "beta2"):
        stated = contents.stated.get(name)
        if stated and is_number(stated.value):
            settings[name] = float(stated.value)
            from_optimizer = [line for line in contents.contradictions if _is_from_optimizer(line, contents)]
            detail = next((line for line in from_optimizer if line.startswith(f"{name} ")), stated.source)
            findings.append(Finding(name, f"{float(stated.value):g}", "file", detail))
    if not {"beta1", "beta2"} <= set(settings):
        settings.pop("beta1", None)
        settings.pop("beta2", None)
    return settings, findings


def _describe_outputs(outputs: int, answers: int) -> str:
    """Describe the number of outputs, of which only the first `answers` are right answers of some pair."""
    return str(outputs) if outputs == answers else f"{outputs}, of which the first {answers} are answers"


def _is_from_optimizer(contradiction: str, contents: Contents) -> bool:
    """Return whether a setting with contradictory values in the file is taken from the optimizer's state.

    Training used the value in the optimizer's state, so this contradiction is not a doubt.

    Args:
        contradiction: a text of `Statements.contradictions`, which begins with the name of the setting.
        contents: what the file contains.
    """
    stated = contents.stated.get(contradiction.partition(" ")[0])
    return stated is not None and ".param_groups." in stated.source


def _seed(contents: Contents, split: ImportedSplit) -> int | None:
    """Return the file's seed if it is valid, else the seed of the split, which may be None."""
    stated = contents.stated.get("seed")
    return stated.value if stated and splits.is_seed(stated.value) else split.seed


def _training(epochs: list[int], recipe: dict[str, float]) -> dict[str, Any]:
    """Return the fields of the section `training`; omit a learning rate or weight decay that is unknown or zero.

    The learning rate of an experiment must be positive. `_settings_of_cube` states a weight decay of 0 in the cube.
    """
    interval = max(math.gcd(*epochs), 1)  # the divisor is 0 if epoch 0 is the only one
    stated: dict[str, Any] = {name: recipe[name] for name in ("learning_rate", "weight_decay") if recipe.get(name)}
    if "beta1" in recipe:
        stated["betas"] = [recipe["beta1"], recipe["beta2"]]
    return {"epochs": max(epochs[-1], 1), "checkpoint_every": interval, "evaluate_every": interval} | stated


def _settings_of_cube(contents: Contents, split: ImportedSplit, recipe: dict[str, float]) -> dict[str, float | str]:
    """Return the settings whose values in the cube differ from those in `experiment.yaml`, such as NaN for an unknown setting."""
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
