"""Takes a foreign file to a cube: read, recognize, write as training would have left it, measure, gather."""

from pathlib import Path

import numpy as np
import xarray as xr

from progress_measures import fingerprint, paths
from progress_measures.cube.extract import measure_family
from progress_measures.cube.gather import gather
from progress_measures.errors import UserError
from progress_measures.experiments.load import FOLDER, IMPORTED, is_name
from progress_measures.files import atomic_path, open_store, scratch
from progress_measures.importing.contents import Contents, contents
from progress_measures.importing.names import FormatMatch, best_match
from progress_measures.importing.reading import read
from progress_measures.importing.settings import Options, Recognized, recognized
from progress_measures.importing.writing import write_history, write_training
from progress_measures.measures.registry import FAMILIES, families_of

ALIKE = 1.5  # the factor by which our train loss may differ from the file's last one, an update before


def import_network(path: Path, out: Path, options: Options) -> list[str]:
    """Import networks into a folder, whole or not at all.

    Args:
        path: of a file, or a folder of numbered ones.
        out: `results/<name>`; what an earlier import left there is replaced.
        options: what is not to be found out.
    Returns:
        Lines for people: what was recognized, assumed, left aside, and what gives cause to doubt.
    Raises:
        UserError: the file cannot be read or is no network on pairs, or an option does not fit it.
    """
    _check_name(out)
    held, found = recognize(path, options)
    if out.parent.resolve() == paths.RESULTS.resolve():
        # before what is measured by it, so that the workflow finds nothing to redo
        for module in (*(f"measures.{family}" for family in FAMILIES), "cube.extract", "cube.gather"):
            fingerprint.refresh(paths.RESULTS / ".fingerprints", f"{fingerprint.PACKAGE}.{module}")
    with scratch(out) as folder:
        with paths.results_in(folder):
            losses = _write(found, out.name, held, options.precision)
        with atomic_path(out) as temporary:
            (folder / out.name).rename(temporary)
    return [*_report(found, path), *_doubts(held, losses)]


def recognize(path: Path, options: Options) -> tuple[Contents, Recognized]:
    """What is in a file, and what that is in our words; nothing is written.

    Raises:
        UserError: as `bring_in`.
    """
    held = contents(read(path), path)
    told = next((held.config[name] for name in ("n_heads", "num_heads") if held.config.get(name) is not None), None)
    heads = options.heads or told
    if not (heads is None or (type(heads) is int and heads >= 1)):
        raise UserError(f"{path}: its configuration has {heads!r:.60} heads; say how many with --heads.")
    fit = best_match(held.states[-1], {"head": heads} if heads else {}, options.names, path)
    _check_tensors(held, fit, path)
    try:
        return held, recognized(path, held, fit, options)
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None


def _check_name(out: Path) -> None:
    """Refuse a name that is taken, or that the workflow could not ask for."""
    if not is_name(out.name):
        raise UserError(f"--out {out}: expected results/<name>, with a name of lower-case letters, digits and _.")
    if (FOLDER / f"{out.name}.yaml").exists():
        raise UserError(f"--out {out}: {FOLDER / out.name}.yaml is an experiment of that name; choose another.")
    if out.exists() and not (out / IMPORTED).exists():
        raise UserError(f"--out {out}: is there, and no import has made it; choose another name, or remove it.")


def _check_tensors(held: Contents, fit: FormatMatch, path: Path) -> None:
    """Refuse checkpoints of different tensors, and numbers that are none."""
    last = held.states[-1]
    for i, state in enumerate(held.states):
        place = f"{path}, checkpoint {i + 1} of {len(held.states)}" if len(held.states) > 1 else str(path)
        for name in sorted(set(last) - set(fit.ignored)):
            if name not in state:
                raise UserError(f"{place}: there is no tensor {name}, which the last checkpoint has.")
            tensor = state[name]
            if tensor.shape != last[name].shape:
                raise UserError(f"{place}: {name} has shape {tensor.shape}, in the last checkpoint {last[name].shape}.")
            if tensor.dtype.kind != "f":
                raise UserError(f"{place}: {name} is of {tensor.dtype}; expected are floating-point numbers.")
            wrong = np.count_nonzero(~np.isfinite(tensor))
            if wrong:
                raise UserError(
                    f"{place}: {name} has {wrong} values that are not finite (NaN or infinite): the training diverged, or "
                    "the file is damaged. Nothing was imported."
                )


def _write(found: Recognized, name: str, held: Contents, precision: str) -> xr.Dataset:
    """Write what a training leaves, measure and gather it, in what stands for `results/`; gives losses at checkpoints."""
    (run,) = found.experiment.runs(name)
    write_training(run, found, precision)
    for family in families_of(run):
        measure_family(run, family, first=True)
    losses = open_store(paths.family_store(name, run.name, "losses")).load()
    if not run.split_unknown:
        write_history(run, held, losses)
    gather(name, found.experiment.title, [run])
    return losses


def _report(found: Recognized, path: Path) -> list[str]:
    told = found.experiment.imported
    assert told is not None
    lines = [f"{path}: {told.format}"]
    lines += [f"  recognized: {line}" for line in told.recognized]
    lines += [f"  assumed: {line}" for line in told.assumed]
    return lines + ([f"  ignored, being of no known use: {', '.join(told.ignored)}"] if told.ignored else [])


def _doubts(held: Contents, losses: xr.Dataset) -> list[str]:
    """Where our train loss is far from what the file says, the split or the operation is not what training had."""
    if held.train is None or "train_loss" not in losses:
        return []
    ours, theirs = float(losses.train_loss[-1]), float(held.train.values[-1])
    alike = theirs > 0 and 1 / ALIKE < ours / theirs < ALIKE
    said = f"train loss {ours:.4g}; the file's own last one is {theirs:.4g}"
    return [
        f"  {'recognized' if alike else 'doubtful'}: {said}" + ("" if alike else ": is the split another? (--split)")
    ]
