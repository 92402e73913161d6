"""Takes a foreign file to a cube: read, recognise, write as training would have left it, measure, gather."""

import hashlib
import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from progress_measures import fingerprint, paths
from progress_measures.cube.extract import extract
from progress_measures.cube.gather import gather
from progress_measures.errors import UserError
from progress_measures.experiments.load import FOLDER, IMPORTED, explain
from progress_measures.experiments.schema import Experiment, Run
from progress_measures.files import appearing, open_store, write_json, write_store
from progress_measures.importing import recognise, splits
from progress_measures.importing.contents import Contents, Losses, contents
from progress_measures.importing.names import AXES, Fit, best_fit
from progress_measures.importing.reading import read
from progress_measures.measures.registry import FAMILIES
from progress_measures.tasks import label_table

Weights = dict[str, NDArray[Any]]

BLOCK = 20  # checkpoints a chunk
EVALUATIONS = 2000  # of training's own losses, at most
NOT_TOLD: dict[str, float | str] = dict.fromkeys(
    ("learning_rate", "weight_decay", "warmup", "dropout", "l1", "beta1", "beta2"), math.nan
) | dict.fromkeys(("precision", "initialisation"), "unknown")


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


def bring_in(path: Path, out: Path, options: Options) -> Experiment:
    """Import networks into a folder, whole or not at all.

    Args:
        path: of a file, or a folder of numbered ones.
        out: `results/<name>`; what an earlier import left there is replaced.
        options: what is not to be found out.
    Returns:
        What was recognised and assumed, as the folder's `experiment.yaml` has it.
    Raises:
        UserError: the file cannot be read or is no network on pairs, or an option does not fit it.
    """
    _check(out)
    held = contents(read(path), path)
    fit = best_fit(held.states[-1], _sizes(held, options), options.names, path)
    checkpoints = list(_checked(held, fit, path))
    experiment, weights, epochs, split = _recognised(path, held, fit, checkpoints, options)
    if out.parent.resolve() == paths.RESULTS.resolve():
        # before what is measured by them, so that the workflow finds nothing to redo
        for module in (*(f"measures.{family}" for family in FAMILIES), "cube.extract", "cube.gather"):
            fingerprint.refresh(paths.RESULTS / ".fingerprints", f"{fingerprint.PACKAGE}.{module}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=out.parent) as folder, paths.results_in(Path(folder)):
        _write(experiment, out.name, weights, epochs, split, held, options.precision)
        with appearing(out) as temporary:
            (Path(folder) / out.name).rename(temporary)
    return experiment


def _check(out: Path) -> None:
    """Refuse a name that is taken, or that the workflow could not ask for."""
    if not re.fullmatch(r"(?!(figures|tables|logs|benchmarks)$)[a-z0-9][a-z0-9_]*", out.name):
        raise UserError(f"--out {out}: expected results/<name>, with a name of lower-case letters, digits and _.")
    if (FOLDER / f"{out.name}.yaml").exists():
        raise UserError(f"--out {out}: {FOLDER / out.name}.yaml is an experiment of that name; choose another.")
    if out.exists() and not (out / IMPORTED).exists():
        raise UserError(f"--out {out}: is there, and no import has made it; choose another name, or remove it.")


def _sizes(held: Contents, options: Options) -> dict[str, int]:
    heads = options.heads or next((held.config[name] for name in ("n_heads", "num_heads") if name in held.config), None)
    return {"head": int(heads)} if heads else {}


def _checked(held: Contents, fit: Fit, path: Path) -> Iterator[dict[str, NDArray[Any]]]:
    """Every state dict, of the same tensors and of finite numbers."""
    used = set(held.states[-1]) - set(fit.ignored)
    for i, state in enumerate(held.states):
        place = f"{path}, checkpoint {i + 1} of {len(held.states)}" if len(held.states) > 1 else str(path)
        for name in sorted(used):
            if name not in state:
                raise UserError(f"{place}: there is no tensor {name}, which the last checkpoint has.")
            if state[name].shape != held.states[-1][name].shape:
                expected = held.states[-1][name].shape
                raise UserError(f"{place}: {name} has shape {state[name].shape}, in the last checkpoint {expected}.")
            if state[name].dtype.kind != "f":
                raise UserError(f"{place}: {name} is of {state[name].dtype}; expected are floating-point numbers.")
            wrong = np.count_nonzero(~np.isfinite(state[name]))
            if wrong:
                raise UserError(
                    f"{place}: {name} has {wrong} values that are not finite (NaN or infinite): the training diverged, or "
                    "the file is damaged. Nothing was imported."
                )
        yield state


def _recognised(
    path: Path, held: Contents, fit: Fit, states: list[dict[str, NDArray[Any]]], options: Options
) -> tuple[Experiment, list[Weights], list[int], splits.Found]:
    """The experiment that the file holds, the weights and epochs of its checkpoints, its training pairs."""
    sure, assumed = [held.layout], list(held.assumed)
    n = recognise.operands(fit.weights(heads=1), options.prime)
    reading = recognise.likeliest(lambda count: fit.weights(heads=count), _heads(fit), _norms(held, fit, options), n)
    if fit.merged:
        assumed.append(f"{reading.heads} heads of {fit.merged // reading.heads}, under which most answers are right (--heads)")
    weights = _without_zeros([fit.weights(state, reading.heads) for state in states])
    outputs = weights[-1]["W_U"].shape[-1]
    sure.append(_size(weights[-1], n, reading.layer_norm))
    if options.layer_norm is None and reading.layer_norm and not any(name.startswith("ln") for name in weights[-1]):
        assumed.append("LayerNorms whose weights were folded away: most answers are right with them (--no-layer-norm)")
    operation, words = _operation(reading, options)
    (sure if operation != "other" or options.operation else assumed).append(words)
    split = splits.split(options.split, held, n)
    (sure if split.given else assumed).append(f"split {split.words}" + ("" if split.given else " (--split)"))
    epochs, said = _epochs(held, options)
    if said:
        assumed.append(said)
    heads, d_model, d_head = weights[-1]["W_Q"].shape[1:]
    known = _recipe(held)
    settings = {name: value for name, value in NOT_TOLD.items() if name not in known}
    settings |= {"seed": math.nan} if split.seed is None and "seed" not in held.config else {}
    settings |= {"split_method": split.method}
    settings |= {"split_seed": math.nan} if split.seed is None else {}
    fraction = math.nan if split.train is None else float(split.train.mean())
    settings |= {"train_fraction": fraction} if split.seed is None else {}
    experiment = {
        "title": f"Imported from {path.name}",
        "seed": held.config["seed"] if isinstance(held.config.get("seed"), int) else split.seed or 0,
        "task": recognise.task(operation, n, outputs, reading),
        "split": _split_section(split),
        "model": {
            "layers": weights[-1]["W_Q"].shape[0],
            "d_model": d_model,
            "heads": heads,
            "d_head": d_head,
            "d_mlp": weights[-1]["W_in"].shape[-1],
            "mlp_biases": "b_in" in weights[-1] or "b_out" in weights[-1],
        },
        "training": {
            "epochs": max(epochs[-1], 1),
            "checkpoint_every": max(math.gcd(*epochs), 1),
            "evaluate_every": max(math.gcd(*epochs), 1),
            **{name: known[name] for name in ("learning_rate", "weight_decay") if name in known},
            **({"betas": [known["beta1"], known["beta2"]]} if "beta1" in known else {}),
        },
        "imported": {
            "file": path.name,
            "sha256": _hash(path),
            "format": fit.format.title,
            "recognised": sure,
            "assumed": assumed,
            "ignored": fit.ignored,
            "layer_norm": reading.layer_norm,
            "split_known": split.train is not None,
            "settings": settings,
        },
    }
    try:
        return Experiment.model_validate(experiment), weights, epochs, split
    except ValidationError as error:
        raise UserError(explain(error, path)) from None


def _heads(fit: Fit) -> list[int]:
    """How many heads there may be, the likeliest first."""
    if fit.merged is None:
        return [fit.sizes["head"]]
    return sorted((count for count in range(1, fit.merged + 1) if fit.merged % count == 0), key=lambda count: abs(count - 4))


def _norms(held: Contents, fit: Fit, options: Options) -> list[bool]:
    """Whether the network may have LayerNorms, the likeliest first."""
    weights = fit.weights(heads=1)
    if options.layer_norm is not None:
        return [options.layer_norm]
    if any(name.startswith("ln") for name in weights):
        return [True]
    if "normalization_type" in held.config:
        kind = held.config["normalization_type"]
        if kind not in (None, "LN", "LNPre"):
            raise UserError(f"its configuration has normalization_type {kind!r}; known are None, LN and LNPre.")
        return [kind is not None]
    return [False, True]


def _size(weights: Weights, n: int, layer_norm: bool) -> str:
    """The architecture, in words."""
    layers, heads, d_model, d_head = weights["W_Q"].shape
    outputs = weights["W_U"].shape[-1]
    biases = ", ".join(name for name in weights if name.startswith("b_"))
    return (
        f"{layers} layer{'s' * (layers > 1)}, d_model {d_model}, {heads} heads of {d_head}, {weights['W_in'].shape[-1]} neurons, "
        f"{outputs} outputs{', of which the last is `=` and dropped' * (outputs == n + 1)}; "
        f"biases {biases or 'none'}; {'with' if layer_norm else 'no'} LayerNorm"
    )


def _operation(reading: recognise.Reading, options: Options) -> tuple[str, str]:
    """The operation, and how it was found, in words."""
    shares = ", ".join(f"{name} on {share:.2%}" for name, share in reading.shares.items() if name != "none")
    follows = f"its answers follow {shares} of all pairs" if shares else "a has no prime number of values"
    if options.operation is not None:
        return options.operation, f"operation {options.operation}, as given; {follows}"
    found = recognise.operation(reading)
    if found is None:
        return "other", f"operation other, its own answers being taken as right: {follows} (--operation)"
    return found, f"operation {found}: {follows}"


def _epochs(held: Contents, options: Options) -> tuple[list[int], str]:
    """Updates done before each checkpoint, and what was assumed."""
    if options.epoch is not None:
        if len(held.states) > 1:
            raise UserError(f"--epoch {options.epoch}: is for a single network; the file has {len(held.states)} checkpoints.")
        return [options.epoch], ""
    if held.epochs is not None:
        return held.epochs, ""
    return list(range(len(held.states))), "epoch 0: the file does not say how long it was trained (--epoch)"


def _recipe(held: Contents) -> dict[str, Any]:
    """What is known of the training; the optimiser's own account is right where the configuration differs."""
    found: dict[str, Any] = {}
    for source in (held.config, held.optimizer):
        for theirs, ours in (("lr", "learning_rate"), ("initial_lr", "learning_rate"), ("weight_decay", "weight_decay")):
            if isinstance(source.get(theirs), int | float) and (ours == "weight_decay" or source[theirs] > 0):
                found[ours] = float(source[theirs])
        if isinstance(source.get("betas"), list) and len(source["betas"]) == 2:
            found["beta1"], found["beta2"] = map(float, source["betas"])
    return found


def _split_section(split: splits.Found) -> dict[str, Any]:
    if split.train is None or split.seed is None:
        return {}
    # such that the same number of pairs is drawn again
    return {"method": split.method, "seed": split.seed, "train_fraction": split.fraction}


def _without_zeros(weights: list[Weights]) -> list[Weights]:
    """Leave out biases that are zero throughout, as frozen ones are."""
    idle = {name for name in weights[0] if name.startswith("b_") and not any(one[name].any() for one in weights)}
    return [{name: tensor for name, tensor in one.items() if name not in idle} for one in weights]


def _hash(path: Path) -> str:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _write(
    experiment: Experiment,
    name: str,
    weights: list[Weights],
    epochs: list[int],
    split: splits.Found,
    held: Contents,
    precision: str,
) -> None:
    """Write what a training leaves, then measure and gather it; all in `results/`, wherever that is now."""
    (run,) = experiment.runs(name)
    folder = paths.runs_folder(name) / run.name
    folder.mkdir(parents=True)
    content = experiment.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    (paths.RESULTS / name / IMPORTED).write_text(text, encoding="utf-8")
    write_store(_dataset(run, split), paths.dataset_store(name))
    store, chunks = _checkpoints(run, weights, epochs, precision)
    write_store(store, folder / "checkpoints.zarr", chunks)
    attributes = {"experiment": name, "run": run.name, "config_hash": run.hash, "code": "", "config": run.model_dump_json()}
    write_json(folder / "done.json", attributes | {"imported_from": experiment.imported and experiment.imported.file})
    write_json(paths.trained_record(name), {"experiment": name, "runs": [attributes]})
    for family in FAMILIES:
        extract(run, family, first=True)
    if split.train is not None:
        measured = open_store(paths.family_store(name, run.name, "losses")).load()
        write_store(_history(held, measured), folder / "history.zarr")
    gather(name, experiment.title, [run])


def _dataset(run: Run, split: splits.Found) -> xr.Dataset:
    """`label` [a, b] and `train` [run, a, b], as `tasks.dataset` has them; none trains where that is not known."""
    label = label_table(run.task)
    train = np.zeros(label.shape, dtype=bool) if split.train is None else split.train
    return xr.Dataset(
        {
            "label": (("a", "b"), label, {"long_name": "Right answer", "units": "1"}),
            "train": (("run", "a", "b"), train[None], {"long_name": "Whether the run trains on the pair", "units": "1"}),
        },
        {"run": [run.name], "a": np.arange(len(label)), "b": np.arange(len(label))},
        {"experiment": run.experiment, "task": run.task.kind, "settings": f"imported; split {split.words}"},
    )


def _checkpoints(run: Run, weights: list[Weights], epochs: list[int], precision: str) -> tuple[xr.Dataset, dict[str, Any]]:
    """Weights with a leading dimension `epoch`, in the precision that they have; measured in the given one."""
    from zarr.codecs import Crc32cCodec

    tensors = {name: np.stack([one[name] for one in weights]) for name in weights[0]}
    dataset = xr.Dataset(
        {name: (("epoch", *AXES[name].split()), tensor) for name, tensor in tensors.items()},
        {"epoch": epochs},
        {
            "experiment": run.experiment,
            "run": run.name,
            "config_hash": run.hash,
            "parameters": " ".join(tensors),
            "measured_in": precision,
        },
    )
    chunks = {
        name: {"chunks": (min(BLOCK, len(epochs)), *tensor.shape[1:]), "compressors": (Crc32cCodec(),)}
        for name, tensor in tensors.items()
    }
    return dataset, chunks


def _history(held: Contents, measured: xr.Dataset) -> xr.Dataset:
    """Losses as training saw them, where the file has them; at the last checkpoint, and without such, what we measured."""
    names = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
    epochs = measured.epoch.values
    loss = np.full(epochs[-1] + 1, np.nan)
    loss[epochs] = measured.train_loss.values
    ours = {name: measured[name].values.astype(np.float64) for name in names}
    if held.train is not None:
        told = held.train.updates < len(loss)
        loss[held.train.updates[told]] = held.train.values[told]
    at = epochs
    if held.train is not None and held.test is not None:
        test = _at(held.test, loss)
        every = max(1, math.ceil(len(test.updates) / EVALUATIONS))
        at = np.union1d(test.updates[::every], epochs[-1:])
        table = np.full(len(loss), np.nan)
        table[epochs], table[test.updates] = ours["test_loss"], test.values
        accuracies = {name: np.full(len(loss), np.nan) for name in names[2:]}
        for name, values in accuracies.items():
            values[epochs] = ours[name]
        ours = {"train_loss": loss[at], "test_loss": table[at], **{name: v[at] for name, v in accuracies.items()}}
    return xr.Dataset(
        {"loss": ("epoch", loss)} | {name: ("evaluated_epoch", values) for name, values in ours.items()},
        {"epoch": np.arange(len(loss)), "evaluated_epoch": at},
    )


def _at(losses: Losses, loss: NDArray[np.float64]) -> Losses:
    """Those at updates of which the train loss is known too."""
    kept = losses.updates < len(loss)
    kept[kept] = np.isfinite(loss[losses.updates[kept]])
    return Losses(losses.updates[kept], losses.values[kept])
