"""Import a file of networks into a cube: read, recognize, write what training would have written, measure, gather."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from progress_measures import fingerprint, paths
from progress_measures.cube.extract import measure_family
from progress_measures.cube.gather import gather
from progress_measures.errors import UserError
from progress_measures.experiments.load import FOLDER, IMPORTED, is_experiment_name
from progress_measures.files import atomic_path, open_store, scratch
from progress_measures.importing.contents import Contents, find_networks
from progress_measures.importing.names import FormatMatch, best_match
from progress_measures.importing.reading import read
from progress_measures.importing.settings import Options, RecognizedNetwork, recognize_network
from progress_measures.importing.writing import write_history, write_training
from progress_measures.measures.registry import FAMILIES, families_of

# Largest ratio between our train loss at the last checkpoint and the file's last train loss, which is one update older.
MAX_LOSS_RATIO = 1.5


def import_network(path: Path, out: Path, options: Options) -> list[str]:
    """Import networks into a folder, completely or not at all.

    Args:
        path: path of a file, or of a folder of numbered files.
        out: `results/<name>`; an earlier import in this folder is replaced.
        options: what the user states about the file.

    Returns:
        Report lines: what was recognized, assumed and ignored, and whether the train loss agrees with the file.

    Raises:
        UserError: the file cannot be read or contains no network on pairs, an option does not fit it, or the name is
            taken.
    """
    _check_name(out)
    contents, network = recognize(path, options)
    if out.parent.resolve() == paths.RESULTS.resolve():
        # The workflow measures again whatever is older than these files, so they are written before the measurement.
        for module in (
            *(f"measures.{family}" for family in FAMILIES),
            "cube.extract",
            "cube.gather",
            "experiments.derived",
        ):
            fingerprint.write_fingerprint(fingerprint.folder(paths.RESULTS), f"{fingerprint.PACKAGE}.{module}")
    with scratch(out) as folder:
        with paths.use_results_folder(folder):
            losses = _write(network, out.name, contents, options.precision)
        with atomic_path(out) as temporary:
            (folder / out.name).rename(temporary)
    return [*_report(network, path), *_loss_comparison(contents, losses)]


def recognize(path: Path, options: Options) -> tuple[Contents, RecognizedNetwork]:
    """Read a file and express its networks in the project's terms, without writing anything.

    Args:
        path: path of a file, or of a folder of numbered files.
        options: what the user states about the file.

    Returns:
        The contents of the file, and the network in the project's terms: experiment, weights, epochs and split.

    Raises:
        UserError: the file cannot be read or does not contain a network on pairs, or an option does not fit it.
    """
    contents = find_networks(read(path), path)
    stated_heads = next(
        (contents.config[name] for name in ("n_heads", "num_heads") if contents.config.get(name) is not None), None
    )
    heads = options.heads or stated_heads
    if not (heads is None or (type(heads) is int and heads >= 1)):
        raise UserError(
            f"{path}: the number of heads in the file's configuration is {heads!r:.60}; expected an integer from 1. Set it "
            "with --heads."
        )
    match = best_match(contents.states[-1], {"head": heads} if heads else {}, options.names, path)
    _check_tensors(contents, match, path)
    try:
        return contents, recognize_network(path, contents, match, options)
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None


def _check_name(out: Path) -> None:
    """Raise an error if the name of the folder is taken or cannot be a target of the workflow."""
    if not is_experiment_name(out.name):
        raise UserError(
            f"--out {out}: expected results/<name>, with a name of lower-case letters, digits and _ that is not the name "
            "of another folder of the workflow."
        )
    if (FOLDER / f"{out.name}.yaml").exists():
        raise UserError(
            f"--out {out}: {FOLDER / out.name}.yaml is an experiment of that name; choose another name for the import."
        )
    if out.exists() and not (out / IMPORTED).exists():
        raise UserError(
            f"--out {out}: this folder exists and was not written by an import; choose another name, or remove it."
        )


def _check_tensors(contents: Contents, match: FormatMatch, path: Path) -> None:
    """Raise an error if checkpoints have different tensors, or values that are not finite floating-point numbers."""
    last = contents.states[-1]
    for i, state in enumerate(contents.states):
        location = f"{path}, checkpoint {i + 1} of {len(contents.states)}" if len(contents.states) > 1 else str(path)
        for name in sorted(set(last) - set(match.ignored)):
            if name not in state:
                raise UserError(f"{location}: tensor {name} is missing; the last checkpoint has it.")
            tensor = state[name]
            if tensor.shape != last[name].shape:
                raise UserError(
                    f"{location}: tensor {name} has shape {tensor.shape}; expected {last[name].shape}, as in the last "
                    "checkpoint."
                )
            if tensor.dtype.kind != "f":
                raise UserError(f"{location}: tensor {name} has dtype {tensor.dtype}; expected floating-point numbers.")
            count = np.count_nonzero(~np.isfinite(tensor))
            if count:
                raise UserError(
                    f"{location}: tensor {name} has {count} values that are not finite (NaN or infinite): the training "
                    "diverged, or the file is damaged. Nothing was imported."
                )


def _write(network: RecognizedNetwork, name: str, contents: Contents, precision: str) -> xr.Dataset:
    """Write the files of a finished training, measure and gather; return the measures of the family `losses` [epoch]."""
    (run,) = network.experiment.runs(name)
    write_training(run, network, precision)
    for family in families_of(run):
        measure_family(run, family, first=True)
    losses = open_store(paths.family_store(name, run.name, "losses")).load()
    if "split" in run.provides:
        write_history(run, contents, losses)
    gather(name, network.experiment.title, [run])
    return losses


def _report(network: RecognizedNetwork, path: Path) -> list[str]:
    provenance = network.experiment.imported
    assert provenance is not None
    lines = [f"{path}: tensors named as in {provenance.format}"]
    lines += [f"  recognized: {line}" for line in provenance.recognized]
    lines += [f"  assumed: {line}" for line in provenance.assumed]
    ignored = [f"  ignored, since this format does not use them: {', '.join(provenance.ignored)}"]
    return lines + (ignored if provenance.ignored else [])


def _loss_comparison(contents: Contents, losses: xr.Dataset) -> list[str]:
    """Return a line that compares our train loss at the last checkpoint with the last train loss in the file.

    A large ratio means that the split or the operation is wrong. If one of the two losses is absent, there is no line.
    """
    if contents.train is None or "train_loss" not in losses:
        return []
    our_loss, file_loss = float(losses.train_loss[-1]), float(contents.train.values[-1])
    agrees = file_loss > 0 and 1 / MAX_LOSS_RATIO < our_loss / file_loss < MAX_LOSS_RATIO
    text = f"train loss {our_loss:.4g}; the last one in the file is {file_loss:.4g}"
    advice = f". They differ by more than a factor of {MAX_LOSS_RATIO:g}: is the split wrong (--split)?"
    return [f"  {'recognized' if agrees else 'doubtful'}: {text}" + ("" if agrees else advice)]
