"""Opens cubes and weights by name or path: `results/` first, then `published/`."""

import json
import math
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from progress_measures.errors import UserError
from progress_measures.files import open_store
from progress_measures.old_names import RENAMED_FIELDS
from progress_measures.paths import cube_store, published_cube, published_weights, runs_folder
from progress_measures.untrusted import check_size, check_zip

if TYPE_CHECKING:
    from progress_measures.experiments import Run
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.sequence_checkpoint import SequenceCheckpoint


def _candidates(name: str | os.PathLike[str], published: bool) -> list[Path]:
    if "/" in str(name) or Path(name).suffix:
        return [Path(name)]
    return [published_cube(str(name))] if published else [cube_store(str(name)), published_cube(str(name))]


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # its name is too long
        return False


def open_cube(name: str | os.PathLike[str], published: bool = False) -> xr.Dataset:
    """An experiment's cube, read lazily.

    Args:
        name: an experiment, or the path of a cube: a Zarr folder, or a zip whose root is one.
        published: pass over `results/`.
    Raises:
        UserError: there is none, or it cannot be read.
    """
    candidates = _candidates(name, published)
    path = next((candidate for candidate in candidates if _is_there(candidate)), None)
    if path is None:
        looked = " and ".join(str(candidate) for candidate in candidates)
        if len(candidates) == 1 and not published:
            raise UserError(f"There is no cube at {looked}.")
        from progress_measures.experiments import load_experiment

        load_experiment(str(name))  # a name that is misspelled, or a file that is wrong, is the cause
        raise UserError(
            f"There is no cube {str(name)!r}: looked for {looked}. Make it with `snakemake -c2 {cube_store(str(name))}`."
        )
    return _open(path)


def cube_if_any(name: str | os.PathLike[str], published: bool = False) -> xr.Dataset | None:
    """A cube as `open_cube` gives it, or None where there is none."""
    return next((_open(path) for path in _candidates(name, published) if _is_there(path)), None)


def _open(path: Path) -> xr.Dataset:
    try:
        if path.suffix != ".zip":
            return _in_order(_current_names(open_store(path)))
        from zarr.storage import ZipStore

        check_zip(path)
        dataset = open_store(ZipStore(path, mode="r"))
        check_size(dataset.nbytes, path)
        for name, variable in dataset.variables.items():  # Zarr makes a whole chunk, to read any of it
            chunk = math.prod(variable.encoding["chunks"])
            if not chunk and variable.size:
                raise ValueError(f"{name} has chunks of no size")
            check_size(chunk * variable.dtype.itemsize, path)
        return _in_order(_current_names(dataset))
    except Exception as error:  # zarr, zipfile and xarray each have their own
        raise UserError(f"{path} is not a readable cube ({type(error).__name__}: {error}).") from None


def _current_names(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with the current names of settings that released versions spelled otherwise."""
    if "imported" in dataset.attrs:
        imported = json.loads(dataset.attrs["imported"])
        dataset.attrs["imported"] = json.dumps({RENAMED_FIELDS.get(key, key): imported[key] for key in imported})
    return dataset.rename({old: new for old, new in RENAMED_FIELDS.items() if old in dataset.coords})


def _in_order(dataset: xr.Dataset) -> xr.Dataset:
    """Its variables by name: stores list them in any order."""
    return dataset[sorted(map(str, dataset.data_vars))]


class OpenRun:
    """One run's weights, and what can be made of them."""

    def __init__(self, experiment: str, run: str, published: bool = False):
        self.experiment, self.name, self.published = experiment, run, published

    @cached_property
    def settings(self) -> "Run":
        """Of the run: task, split, model, training."""
        from progress_measures.experiments import load_experiment

        return next(one for one in load_experiment(self.experiment).runs(self.experiment) if one.name == self.name)

    @property
    def epochs(self) -> list[int]:
        """Updates done before each of the weights that are kept.

        Raises:
            UserError: none are.
        """
        return [int(epoch) for epoch in self._kept().epoch.values]

    def weights(self, epoch: int | None = None) -> dict[str, np.ndarray]:
        """The weights after `epoch` updates; by default, the last that are kept.

        Returns:
            Tensors by name, as in `progress_measures.models.transformer`, without the `run` dimension.
        Raises:
            UserError: they are not kept for that run or epoch.
        """
        dataset = self._kept()
        kept = dataset.epoch.values
        epoch = int(kept.max()) if epoch is None and kept.size else epoch
        if epoch not in kept:
            listed = ", ".join(map(str, kept[:12])) + (", …" if len(kept) > 12 else "")
            raise UserError(f"No weights of {self.experiment}/{self.name} at epoch {epoch}; there are: {listed}.")
        chosen = dataset.sel(epoch=epoch)
        return {
            str(name): chosen[name].values for name in chosen.attrs.get("parameters", "").split() or chosen.data_vars
        }

    def checkpoint(self, epoch: int | None = None) -> "Checkpoint | SequenceCheckpoint":
        """The network after `epoch` updates as measures see it: any measure's function can be called with it.

        Raises:
            UserError: its weights are not kept.
        """
        from progress_measures.cube.extract import checkpoint_of

        epoch = self.epochs[-1] if epoch is None else epoch
        return checkpoint_of(self.settings, self.weights(epoch), epoch, self.weights())

    def transformer_lens(self, epoch: int | None = None) -> Any:
        """The network after `epoch` updates as TransformerLens (version 4) has it: hooked, for one's own exploration.

        Returns:
            A `TransformerBridge`; call it on tokens [example, position], or its `run_with_cache`.
        Raises:
            UserError: its weights are not kept, or TransformerLens cannot represent it.
        """
        from progress_measures.models.transformer_lens_bridge import network_of

        return network_of(self.settings, self.weights(epoch))

    def _kept(self) -> xr.Dataset:
        """The weights that are kept, along `epoch`: those of a finished training, else those that are published."""
        own = runs_folder(self.experiment) / self.name / "checkpoints.zarr"
        if not self.published and own.exists() and (own.parent / "done.json").exists():
            return _open(own)
        path = published_weights(self.experiment)
        if not path.exists():
            raise UserError(f"No weights of {self.experiment}/{self.name}: looked for {own} and {path}.")
        dataset = _open(path)
        networks = np.flatnonzero(dataset.run == self.name)
        if not networks.size:
            kept = ", ".join(map(str, dict.fromkeys(dataset.run.values.tolist())))
            raise UserError(
                f"No weights of {self.experiment}/{self.name}: {path} has those of {kept}, {own} is not there."
            )
        return dataset.isel(network=networks).swap_dims(network="epoch")


def open_run(experiment: str, run: str | int = 0, published: bool = False) -> OpenRun:
    """A run of an experiment, by name or by its place in the grid.

    Args:
        published: look only for weights that are published.
    Raises:
        UserError: no such experiment or run.
    """
    from progress_measures.experiments import load_experiment

    names = [one.name for one in load_experiment(experiment).runs(experiment)]
    if isinstance(run, int) and -len(names) <= run < len(names):
        run = names[run]
    if run not in names:
        raise UserError(f"{experiment} has no run {run!r}; it has {', '.join(names)}.")
    return OpenRun(experiment, str(run), published)
