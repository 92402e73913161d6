"""What training leaves on disk for one run, and how it goes on after an interruption.

    checkpoints.zarr   weights with a leading dimension `epoch`; blocks of checkpoints are chunks with a checksum
    history.zarr       the losses and accuracies as training saw them
    resume/*.npz       the last two states of the optimizer: everything that is needed to go on bit for bit; one at the end
    done.json          renamed into place last

A state holds, beside the parameters and moments, the history so far and the checkpoints of the block that is not yet
full. So whatever `checkpoints.zarr` holds beyond the state is simply written again, and a state that cannot be read
(its members carry checksums) costs no more than the time since the one before it.
"""

import contextlib
import fcntl
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec
from zarr.storage import MemoryStore

from progress_measures.errors import UserError
from progress_measures.files import atomic_path, write_json, write_store
from progress_measures.models.architecture import Architecture
from progress_measures.training.record import done

# Checkpoints a chunk. More make fewer files (a mainline run has 250), fewer make smaller states.
BLOCK = 20

EVALUATED_QUANTITIES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")

# What Zarr says of an array that has to be as it was. How it spells the rest may change with its version.
_DESCRIBED = ("shape", "data_type", "chunk_grid", "dimension_names")

State = dict[str, NDArray[Any]]


class RunStore:
    """The folder of one run.

    Args:
        folder: `results/<experiment>/runs/<run>`.
        run: its settings; what was trained with others is not gone on with.
        code: fingerprint of the code that trains it; the same holds for it.
    """

    def __init__(self, folder: Path, run: Any, code: str):
        self.folder, self.run, self.code = folder, run, code
        self._shapes = Architecture.of(run).shapes()
        self.epochs = np.arange(0, run.training.epochs + 1, run.training.checkpoint_every)

    @property
    def done(self) -> dict[str, Any] | None:
        """The record of a finished training with these settings by this code, if there is one."""
        return done(self.folder, self.run, self.code)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this run meanwhile; the system lifts the lock when a process dies.

        Raises:
            UserError: another process has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.folder}: another process is training this run. Wait for it, or end it, and start again."
                ) from None
            yield

    def states(self) -> dict[int, Path]:
        """The states that can be gone on from, by epoch; damaged, foreign and outdated ones are passed over."""
        found: dict[int, Path] = {}
        if not self._laid_out():
            return found  # the blocks before them are gone
        for path in sorted((self.folder / "resume").glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as state:
                    if [str(state["config_hash"]), str(state["code"])] == [self.run.hash, self.code]:
                        for name in state.files:  # reading checks the checksums
                            state[name]
                        found[int(state["epoch"])] = path
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                continue
        return found

    def resume(self, path: Path) -> State:
        """A state to go on from. What `checkpoints.zarr` says of itself is said anew, as of now."""
        attributes = self._checkpoints().attrs
        if attributes.asdict() != self._attributes():
            attributes.put(self._attributes())
        with np.load(path, allow_pickle=False) as state:
            return {name: state[name] for name in state.files}

    def save(self, epoch: int, state: State) -> None:
        """Keep a state; the last two are kept."""
        folder = self.folder / "resume"
        label = {"epoch": np.int64(epoch), "config_hash": np.str_(self.run.hash), "code": np.str_(self.code)}
        with atomic_path(folder / f"{epoch:09d}.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **state, **label)
        for old in sorted(folder.glob("*.npz"))[:-2]:
            old.unlink()

    def start(self) -> None:
        """Lay out an empty `checkpoints.zarr`, and remove what an outdated training left."""
        (self.folder / "done.json").unlink(missing_ok=True)
        for old in (self.folder / "resume").glob("*.npz"):
            old.unlink()
        with atomic_path(self.folder / "checkpoints.zarr") as temporary:
            self._lay_out(temporary)

    def _lay_out(self, store: Path | MemoryStore) -> zarr.Group:
        group = zarr.create_group(store, attributes=self._attributes())
        epoch = group.create_array("epoch", shape=self.epochs.shape, dtype="int64", dimension_names=["epoch"])
        epoch[:] = self.epochs
        for name, dims in Architecture.of(self.run).parameters.items():
            shape = tuple(dims.values())
            group.create_array(
                name,
                shape=(len(self.epochs), *shape),
                chunks=(min(BLOCK, len(self.epochs)), *shape),
                dtype="float32",
                fill_value=float("nan"),
                compressors=(Crc32cCodec(),),  # float32 weights do not compress
                dimension_names=["epoch", *dims],
            )
        return group

    def _laid_out(self) -> bool:
        """Whether `checkpoints.zarr` is as it was laid out: chunks have checksums, what describes them has none."""
        right = self._lay_out(MemoryStore())
        try:
            return self._description(self._checkpoints()) == self._description(right)
        except FileNotFoundError:
            return False
        except (OSError, MemoryError):  # which may pass: nothing is thrown away for it
            raise
        except Exception:  # damaged, for which zarr has a different error each time
            return False

    def _description(self, group: zarr.Group) -> list[Any]:
        arrays = dict(group.arrays())
        told = [arrays[name].metadata.to_dict() for name in ("epoch", *self._shapes)]
        return [np.asarray(arrays["epoch"]).tolist(), *([one.get(key) for key in _DESCRIBED] for one in told)]

    def _checkpoints(self) -> zarr.Group:
        return zarr.open_group(self.folder / "checkpoints.zarr", mode="r+")

    def write_block(self, first: int, block: NDArray[np.float32]) -> None:
        """Write whole checkpoints, [checkpoint, parameter], from index `first` on."""
        group = self._checkpoints()
        offset = 0
        for name, shape in self._shapes.items():
            size = int(np.prod(shape))
            array = group[name]
            assert isinstance(array, zarr.Array)
            array[first : first + len(block)] = block[:, offset : offset + size].reshape(-1, *shape)
            offset += size

    def write_history(self, train_loss: NDArray[np.float64], evaluations: NDArray[np.float64]) -> None:
        """Write `history.zarr`.

        Args:
            train_loss: [epoch], of the weights after 0, 1, 2, … updates, at the loss precision of training.
            evaluations: [evaluation, quantity], as named in `EVALUATED`, in float64.
        """
        evaluated = np.arange(len(evaluations)) * self.run.training.evaluate_every
        history = xr.Dataset(
            {"loss": ("epoch", train_loss)}
            | {name: ("evaluated_epoch", evaluations[:, i]) for i, name in enumerate(EVALUATED_QUANTITIES)},
            {"epoch": np.arange(len(train_loss)), "evaluated_epoch": evaluated},
            self._attributes(),
        )
        write_store(history, self.folder / "history.zarr")

    def finish(self, record: dict[str, Any]) -> None:
        """Say that the run is complete, and keep its last state alone.

        From that, `done.json` comes back in seconds where it is deleted, without another epoch.
        """
        write_json(self.folder / "done.json", self._attributes() | record)
        for old in sorted((self.folder / "resume").glob("*.npz"))[:-1]:
            old.unlink()

    def _attributes(self) -> dict[str, Any]:
        return {
            "experiment": self.run.experiment,
            "run": self.run.name,
            "config_hash": self.run.hash,
            "code": self.code,
            "config": self.run.model_dump_json(),
        }
