"""Import a network into a cube: read it, recognize it, write what training would have written, measure, gather."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from progress_measures import fingerprint, paths
from progress_measures.cube import parts
from progress_measures.cube.extract import measure_run
from progress_measures.cube.gather import gather
from progress_measures.errors import UserError
from progress_measures.experiments.load import FOLDER, IMPORTED, is_experiment_name
from progress_measures.files import atomic_path, open_store, scratch
from progress_measures.importing.contents import Contents, find_networks
from progress_measures.importing.designs import has_position_vectors, states_attention_only
from progress_measures.importing.forward import computed_by_forward
from progress_measures.importing.names import FormatMatch, best_match
from progress_measures.importing.reading import read
from progress_measures.importing.settings import Options, RecognizedNetwork, computed_by_design, recognize_network
from progress_measures.importing.writing import write_history, write_training
from progress_measures.measures.registry import families_of


def import_network(path: Path, out: Path, options: Options) -> list[str]:
    """Import a network, at one or more checkpoints, into a folder: completely or not at all.

    Args:
        path: path of a file, or of a folder of numbered files.
        out: `results/<name>`; an earlier import in this folder is replaced.
        options: what the user states about the file.

    Returns:
        Report lines: what is known about the network, each with its source, and how often the network's answers agree
        with each operation, such as a + b mod n.

    Raises:
        UserError: the file cannot be read or contains no network on pairs, an option does not fit it, or the name is
            taken.
    """
    check_name(out)
    contents, network = read_and_recognize(path, options)
    write_network(network, contents, out, options.precision)
    return report(network, path)


def write_network(network: RecognizedNetwork, contents: Contents, out: Path, precision: str) -> None:
    """Write the files that a finished training leaves, measure the network and gather its cube, completely or not at all.

    Args:
        network: the network in the project's terms.
        contents: what its file contains, of which the recorded losses are used.
        out: `results/<name>`; an earlier import in this folder is replaced.
        precision: `float64` or `float32`, the precision of measurement.
    """
    if out.parent.resolve() == paths.RESULTS.resolve():
        # The workflow measures again whatever is older than these fingerprints of the code, so they are written first.
        fingerprints = fingerprint.folder(paths.RESULTS)
        fingerprint.write_fingerprint(fingerprints, f"{fingerprint.PACKAGE}.cube.gather")
        parts.write_measuring_fingerprint(fingerprints, out.name, network.experiment.runs(out.name))
    with scratch(out) as folder:
        with paths.use_results_folder(folder):
            _write(network, out.name, contents, precision)
        with atomic_path(out) as temporary:
            (folder / out.name).rename(temporary)


def read_and_recognize(path: Path, options: Options) -> tuple[Contents, RecognizedNetwork]:
    """Read a file and express its network in the project's terms, without writing anything.

    Args:
        path: path of a file, or of a folder of numbered files.
        options: what the user states about the file.

    Returns:
        The contents of the file, and the network in the project's terms: experiment, weights, epochs and split.

    Raises:
        UserError: the file cannot be read or does not contain a network on pairs, or an option does not fit it.
    """
    contents = find_networks(read(path), path, options.key)
    try:
        if options.forward is not None:
            return contents, recognize_network(path, contents, computed_by_forward(path, contents, options), options)
        match = _match_format(path, contents, options)
        _check_tensors(contents, match, path)
        return contents, recognize_network(path, contents, computed_by_design(path, contents, match, options), options)
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None


def _match_format(path: Path, contents: Contents, options: Options) -> FormatMatch:
    """Match the last state dict against the mapping file or the built-in formats, with the stated number of heads, if any."""
    stated = contents.stated.get("heads")
    heads = options.heads or (stated.value if stated else None)
    if not (heads is None or (type(heads) is int and heads >= 1)):
        raise UserError(
            f"{path}: the number of heads in the file's configuration is {heads!r:.60}; expected an integer from 1. Set it "
            "with --heads."
        )
    sizes = {"head": heads} if heads else {}
    return best_match(contents.states[-1], sizes, options.mapping_file, path, _absent_tensors(contents, options))


def _absent_tensors(contents: Contents, options: Options) -> frozenset[str]:
    """Return this project's names of the tensors that the network lacks, by the file's configuration or the options."""
    mlp_tensors = {"W_in", "W_out", "b_in", "b_out", "ln2_w", "ln2_b"}
    absent = mlp_tensors if states_attention_only(contents) else set()
    stated = contents.stated.get("positions")
    positions = options.model.get("positions", stated.value if stated else "learned")
    if not has_position_vectors(positions):
        absent |= {"W_pos"}
    return frozenset(absent)


def check_name(out: Path) -> None:
    """Raise an error if the name of the folder is taken or is not valid for an experiment."""
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
    """Raise an error if a checkpoint lacks a tensor of the last one, or has values that are not finite floating-point numbers."""
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


def _write(network: RecognizedNetwork, name: str, contents: Contents, precision: str) -> None:
    """Do the work of `write_network` in the current folder of results."""
    (run,) = network.experiment.runs(name)
    write_training(run, network, precision)
    measure_run(run, families_of(run), first=True)
    if "split" in run.provides:
        losses = open_store(paths.family_store(name, run.name, "losses")).load()
        write_history(run, contents, losses)
    record = paths.measured_record(name, run.name)  # the workflow measures again if this file is missing
    record.parent.mkdir(exist_ok=True)
    record.write_text("imported\n")
    gather(name, network.experiment.title, [run])


def report(network: RecognizedNetwork, path: Path) -> list[str]:
    """Report what is known about a network, its agreement with each operation, and doubts.

    Args:
        network: the network.
        path: path of its file.

    Returns:
        The lines of the report. A doubt says what contradicts a setting that was found.
    """
    provenance = network.experiment.imported
    assert provenance is not None
    rows = [("setting", "value", "where it comes from")]
    rows += [(finding.setting, finding.value, finding.origin) for finding in network.findings]
    widths = [min(max(len(row[i]) for row in rows), 48) for i in range(2)]  # longer texts do not widen a column
    lines = [f"{path}:"]
    lines += [f"  {row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}".rstrip() for row in rows]
    lines.append("  agreement of the answers with each operation, over all pairs:")
    lines += [f"    {name:12}  {fraction:8.2%}" for name, fraction in network.agreement.items()]
    if provenance.ignored:
        lines.append(f"  ignored, since this format does not use them: {', '.join(provenance.ignored)}")
    return lines + [f"  DOUBTFUL: {doubt}" for doubt in network.doubts]
