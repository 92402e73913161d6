"""Open cubes by name or path, and weights by the names of experiment and run.

A cube or a run that is opened by name is read from `results/` if it is there, otherwise from `published/`.
"""

from __future__ import annotations

import json
import math
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from progress_measures.cube.earlier_imports import check_import
from progress_measures.errors import UserError
from progress_measures.files import open_store
from progress_measures.old_names import RENAMED_CAPABILITIES, RENAMED_FIELDS
from progress_measures.paths import PUBLISHED, cube_store, published_cube, published_weights, runs_folder
from progress_measures.training.record import how_to_train_again
from progress_measures.untrusted import check_size, check_zip

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.sequence_checkpoint import SequenceCheckpoint


def _candidates(name: str | os.PathLike[str], published: bool) -> list[Path]:
    """Return the paths at which a cube may be, best first: `name` if it is a path, else those of the experiment `name`."""
    if "/" in str(name) or Path(name).suffix:
        return [Path(name)]
    return [published_cube(str(name))] if published else [cube_store(str(name)), published_cube(str(name))]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # the name is too long
        return False


def open_cube(name: str | os.PathLike[str], published: bool = False) -> xr.Dataset:
    """Open the cube of an experiment; its values are read on access.

    Args:
        name: name of an experiment, or path of a cube: a Zarr folder, or a zip file with a Zarr folder as its root.
        published: whether to open the published cube even if `results/` has a cube of the experiment.

    Returns:
        The cube. Its variables are sorted by family (the measures of one module) and, within a family, as in the
        module; variables that are not measures follow. Coordinates begin with `run`, `epoch` and the labels of the
        other dimensions; the settings of the runs follow.

    Raises:
        UserError: the experiment or the cube does not exist, or the cube lacks a chunk or cannot be read.
    """
    candidates = _candidates(name, published)
    path = next((candidate for candidate in candidates if _exists(candidate)), None)
    if path is None:
        expected = " or ".join(str(candidate) for candidate in candidates)
        if len(candidates) == 1 and not published:
            raise UserError(f"There is no cube at {expected}.")
        from progress_measures.experiments import load_experiment

        load_experiment(str(name))  # raises if the name is misspelled or the file is wrong
        raise UserError(
            f"There is no cube {str(name)!r}: expected {expected}. Make it with `snakemake -c2 {cube_store(str(name))}`."
        )
    return _sorted_by_family(_open(path))


def cube_if_any(name: str | os.PathLike[str], published: bool = False) -> xr.Dataset | None:
    """Open the cube of an experiment if it exists.

    Args:
        name: name of an experiment, or path of a cube: a Zarr folder, or a zip file with a Zarr folder as its root.
        published: whether to open the published cube even if `results/` has a cube of the experiment.

    Returns:
        The cube, as `open_cube` returns it; None if it does not exist.

    Raises:
        UserError: the cube cannot be read.
    """
    return next((_sorted_by_family(_open(path)) for path in _candidates(name, published) if _exists(path)), None)


def _open(path: Path, content: str = "cube", remedy: str | None = None) -> xr.Dataset:
    """Open a Zarr folder or zip file.

    Args:
        path: the folder or zip file.
        content: what the folder or file should contain, for error messages.
        remedy: what the user can do if the folder or file is damaged, for error messages; by default, what `_remedy` returns
            for the path.
    """
    try:
        if path.suffix != ".zip":
            return _sorted_by_name(_current_names(open_store(path)))
        check_zip(path)
        dataset = open_store(path)
        check_size(dataset.nbytes, path)
        for name, variable in dataset.variables.items():  # Zarr allocates a whole chunk to read any part of it
            chunk_entries = math.prod(variable.encoding["chunks"])
            if not chunk_entries and variable.size:
                raise ValueError(f"{name} has empty chunks")
            check_size(chunk_entries * variable.dtype.itemsize, path)
        return _sorted_by_name(_current_names(dataset))
    except Exception as error:  # zarr, zipfile and xarray raise errors of many types
        raise UserError(
            f"{path} is not a readable {content} ({type(error).__name__}: {error}); {remedy or _remedy(path)}."
        ) from None


def _remedy(path: Path) -> str:
    """Return what the user can do if a store is damaged, for error messages."""
    if path == cube_store(path.parent.name):
        return f"gather it again: progress-measures gather {path.parent.name}"
    if path.parent == PUBLISHED:
        return f"restore it: git checkout -- {path}"
    return "copy or write it again"


def _current_names(dataset: xr.Dataset) -> xr.Dataset:
    """Rename settings and capabilities that had other names in earlier versions to their current names."""
    if "provides" in dataset.attrs:
        dataset.attrs["provides"] = sorted(RENAMED_CAPABILITIES.get(name, name) for name in dataset.attrs["provides"])
    if "imported" in dataset.attrs:
        imported = json.loads(dataset.attrs["imported"])
        dataset.attrs["imported"] = json.dumps({RENAMED_FIELDS.get(key, key): imported[key] for key in imported})
    return dataset.rename({old: new for old, new in RENAMED_FIELDS.items() if old in dataset.coords})


def _sorted_by_family(cube: xr.Dataset) -> xr.Dataset:
    """Sort the variables by family of measures; other variables, such as the recorded history, follow."""
    from progress_measures.measures.registry import measures

    position = {name: index for index, name in enumerate(measures())}
    names = sorted(map(str, cube.data_vars), key=lambda name: position.get(name, len(position)))
    return cube[names]


def _sorted_by_name(dataset: xr.Dataset) -> xr.Dataset:
    """Sort the variables by name, because the order in which a store lists them is arbitrary.

    The coordinates `run`, `epoch` and those of the other dimensions come first, the settings of the runs after them.
    """

    def position(name: str) -> tuple[bool, bool, bool, str]:
        return name not in dataset.dims, name != "run", name != "epoch", name

    return dataset[[*sorted(map(str, dataset.coords), key=position), *sorted(map(str, dataset.data_vars))]]


class NoStoredWeights(UserError):
    """No weights of a run are stored in `published/` nor, unless only published weights are requested, in `results/`."""


class OpenRun:
    """The weights of one run, and the networks and checkpoints built from them.

    Args:
        experiment: name of the experiment.
        run: name of the run.
        published: whether to use the published weights even if `results/` has weights of the run.
    """

    def __init__(self, experiment: str, run: str, published: bool = False) -> None:
        self.experiment, self.name, self.published = experiment, run, published

    def __repr__(self) -> str:
        try:
            epochs = [str(epoch) for epoch in self.epochs]
            listed = epochs if len(epochs) <= 8 else [*epochs[:3], "…", epochs[-1]]
            weights = f"at {len(epochs)} epochs: {', '.join(listed)}"
        except UserError as error:
            weights = str(error)
        settings = " ".join(f"{name}={value}" for name, value in self._varied_settings().items())
        return "\n".join(
            [
                f"Run {self.name} of {self.experiment}",
                f"    settings  {settings}",
                f"    weights   {weights}",
                "    read      .settings  .epochs  .weights(epoch)  .history  .checkpoint(epoch)  .transformer_lens(epoch)",
            ]
        )

    def _varied_settings(self) -> dict[str, Any]:
        """Return the run's task and its values of settings that vary in the experiment; if none varies, the seed."""
        from progress_measures.experiments import load_experiment

        every_run = [run.settings for run in load_experiment(self.experiment).runs(self.experiment)]
        own = self.settings.settings
        varied = {name: own[name] for name in own if any(settings[name] != own[name] for settings in every_run)}
        return {"task": self.settings.task.kind} | (varied or {"seed": own["seed"]})

    @cached_property
    def settings(self) -> Run:
        """Settings of the run: task, split, model, training."""
        from progress_measures.experiments import load_experiment

        return next(run for run in load_experiment(self.experiment).runs(self.experiment) if run.name == self.name)

    @property
    def epochs(self) -> list[int]:
        """Epochs whose weights are stored.

        Raises:
            UserError: no weights of the run are stored.
        """
        return [int(epoch) for epoch in self._stored().epoch.values]

    def weights(self, epoch: int | None = None) -> dict[str, np.ndarray]:
        """Return the weights after `epoch` updates; by default, the last stored weights.

        Returns:
            Tensors by name, as in `progress_measures.models.transformer`, without the `run` dimension.

        Raises:
            UserError: no weights of the run at this epoch are stored, or the network was imported by an earlier version and has
                to be imported again.
        """
        dataset = self._stored()
        stored = dataset.epoch.values
        epoch = int(stored.max()) if epoch is None and stored.size else epoch
        if epoch not in stored:
            listed = ", ".join(map(str, stored[:12])) + (", …" if len(stored) > 12 else "")
            raise UserError(f"No weights of {self.experiment}/{self.name} at epoch {epoch}; there are: {listed}.")
        tensors = dataset.sel(epoch=epoch)
        check_import(self.settings, list(map(str, tensors.data_vars)), tensors.sizes.get("output"))
        return {
            str(name): tensors[name].values for name in tensors.attrs.get("parameters", "").split() or tensors.data_vars
        }

    @property
    def history(self) -> xr.Dataset:
        """Losses and accuracies that the training loop recorded, each [history_epoch], by the names that they have in the cube.

        Raises:
            UserError: no history of the run is stored.
        """
        if self._uses_results and "split" in self.settings.provides:
            from progress_measures.cube.gather import history_of
            from progress_measures.cube.structure import describe_dimensions

            return describe_dimensions(history_of(self.settings))
        cube = cube_if_any(self.experiment, published=True)
        names = [] if cube is None else [name for name in cube.data_vars if str(name).startswith("history_")]
        if cube is None or not names or self.name not in cube.run:
            files = [published_cube(self.experiment)]
            files += [] if self.published else [self._folder / "history.zarr"]
            raise UserError(
                f"No history of {self.experiment}/{self.name} in {' or '.join(map(str, files))}: train the experiment, or open "
                "another run."
            )
        return cube[names].sel(run=self.name).reset_coords(drop=True).drop_attrs(deep=False).load()

    def checkpoint(self, epoch: int | None = None) -> Checkpoint | SequenceCheckpoint:
        """Return the checkpoint after `epoch` updates; by default, the last checkpoint whose weights are stored.

        The value of a measure `m` at the checkpoint is `m.function(m.in_required_order(checkpoint))`.
        `in_required_order` puts operand values and outputs in the order that the measure requires.

        Raises:
            UserError: no weights of the run at this epoch are stored.
        """
        from progress_measures.cube.extract import checkpoint_of

        last = max(self.epochs)
        epoch = last if epoch is None else epoch
        return checkpoint_of(self.settings, self.weights(epoch), epoch, self.weights(last), last)

    def transformer_lens(self, epoch: int | None = None) -> Any:
        """Return the network after `epoch` updates as a hooked network of TransformerLens 4; by default, the last stored one.

        Returns:
            A `TransformerBridge`. It and its method `run_with_cache` take tokens [example, position].

        Raises:
            UserError: no weights of the run at this epoch are stored, or TransformerLens cannot represent the network.
        """
        from progress_measures.models.transformer_lens_bridge import network_of

        return network_of(self.settings, self.weights(epoch))

    @property
    def _folder(self) -> Path:
        return runs_folder(self.experiment) / self.name

    @property
    def _uses_results(self) -> bool:
        """Whether to read from `results/`: training is finished there, and `published` is false."""
        return not self.published and (self._folder / "done.json").exists()

    def _stored(self) -> xr.Dataset:
        """Return the run's weights along `epoch`, from its finished training or the published file; see `_uses_results`.

        The published file has a dimension `network`, with an entry for each run and each published epoch.
        """
        trained = self._folder / "checkpoints.zarr"
        if self._uses_results and trained.exists():
            return _open(trained, "store of weights", how_to_train_again(self.settings))
        path = published_weights(self.experiment)
        places = f"{path}" if self.published else f"{trained} or {path}"
        if not path.exists():
            raise NoStoredWeights(f"No weights of {self.experiment}/{self.name} in {places}.")
        dataset = _open(path, "store of weights")
        checkpoints = np.flatnonzero(dataset.run == self.name)
        if not checkpoints.size:
            stored_runs = ", ".join(map(str, dict.fromkeys(dataset.run.values.tolist())))
            raise NoStoredWeights(
                f"No weights of {self.experiment}/{self.name} in {places}; {path.name} has weights of {stored_runs} only."
            )
        return dataset.isel(network=checkpoints).swap_dims(network="epoch")


def open_run(experiment: str, run: str | int = 0, published: bool = False) -> OpenRun:
    """Open a run of an experiment.

    Args:
        experiment: name of the experiment.
        run: name of the run, or its index in the grid; a negative index counts from the last run.
        published: whether to use the published weights even if `results/` has weights of the run.

    Returns:
        The run; its weights are read on access.

    Raises:
        UserError: the experiment or the run does not exist.
    """
    from progress_measures.experiments import load_experiment

    names = [settings.name for settings in load_experiment(experiment).runs(experiment)]
    if isinstance(run, int) and -len(names) <= run < len(names):
        run = names[run]
    if run not in names:
        raise UserError(f"{experiment} has no run {run!r}; it has {', '.join(names)}.")
    return OpenRun(experiment, str(run), published)
