"""The files that training writes for one run, and how it resumes after an interruption.

    checkpoints.zarr   weights with a leading dimension `epoch`; a chunk is a block of checkpoints with a checksum
    history.zarr       losses and accuracies computed during training
    during.zarr        measures computed during training, with `measure: during`; `cube.observer` writes it
    resume/*.npz       the last two training states, from which training resumes bit for bit; after training, only the last.
                       If `training.keep` keeps few weights: one state during training, none after it
    done.json          record of the finished training, renamed into place last
    lock               locked while a process trains the run; empty

A training state contains the parameters, the buffers of the optimizer and of the gradient filter (such as Grokfast;
`training.gradient_filter`), the history so far, the checkpoints of the block that is not full yet, and the measures computed
so far. Training that resumes from a state writes later checkpoints to `checkpoints.zarr` again. If checksums show that the last
state is damaged, training resumes from the state before it or, if there is none, starts again.
"""

from __future__ import annotations

import contextlib
import fcntl
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import MemoryStore

from progress_measures.errors import UserError
from progress_measures.files import atomic_path, complete_store, write_json, write_store
from progress_measures.models.architecture import Architecture
from progress_measures.training.objectives import EVALUATED_QUANTITIES
from progress_measures.training.record import finished_training
from progress_measures.training.schedule import evaluation_epochs, kept_epochs

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

# Checkpoints per block. Larger blocks make fewer files (a run with the paper's main settings has 250); smaller blocks
# make smaller saved states.
BLOCK = 20

# Metadata of an array that, besides its shape, must equal what this package writes. Other metadata may change with the
# version of Zarr.
_COMPARED_METADATA = ("data_type", "chunk_grid", "dimension_names")

# Zarr would omit a chunk that contains only the fill value; it could not be distinguished from a lost chunk.
_STORE_ALL_CHUNKS: Any = {"write_empty_chunks": True}

State = dict[str, NDArray[Any]]


class RunStore:
    """The folder of one run.

    Args:
        folder: `results/<experiment>/runs/<run>`.
        run: settings of the run; training does not resume from states with other settings.
        code: fingerprint of the code that trains the run; training does not resume from states of other code.
        code_of_measures: fingerprint of the code that measures the run while it trains; empty if the run is measured after
            training. Training does not resume from states with another fingerprint.

    Attributes:
        epochs: epochs whose weights are stored: [checkpoint].
        keeps_all: whether the weights of all checkpoints are stored. If not, states are compressed, and there is one during
            training and none after it, to save disk space.
        block: checkpoints per block: 1 if few weights are kept.
        dtype: type of the stored weights, `float32` or `float64`.
    """

    def __init__(self, folder: Path, run: Run, code: str, code_of_measures: str = "") -> None:
        self.folder, self.run, self.code, self._code_of_measures = folder, run, code, code_of_measures
        self.dtype = "float64" if run.training.arithmetic == "float64" else "float32"
        self._shapes = Architecture.of(run).shapes()
        self.epochs = kept_epochs(run.training)
        # If few weights are kept, each checkpoint is stored at once: an unfinished block would make each state larger.
        self.keeps_all = run.training.keep == "all"
        self.block = BLOCK if self.keeps_all else 1

    @property
    def finished_training(self) -> dict[str, Any] | None:
        """The record of this run's finished training with these settings and this code; None if there is none."""
        return finished_training(self.folder, self.run, self.code)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold a lock that keeps other processes from training this run, until the `with` block or the process ends.

        Raises:
            UserError: another process holds the lock.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.folder}: another process is training this run. Wait for it or stop it, then start again."
                ) from None
            yield

    def states(self) -> dict[tuple[int, int], Path]:
        """Return the files of the states from which training can resume: intact, of the same settings and code.

        Returns:
            The files by epoch of the state and number of checkpoints in `checkpoints.zarr` at this epoch. Runs train
            together from states that agree in both. Empty if `checkpoints.zarr` is missing or its metadata are damaged.
        """
        states: dict[tuple[int, int], Path] = {}
        if not self._has_expected_layout():
            return states  # a state contains only the last checkpoints; without this store, the earlier ones are lost
        for path in sorted((self.folder / "resume").glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as state:
                    if [str(state["config_hash"]), str(state["code"])] == [self.run.hash, self._code_of_states]:
                        for name in state.files:  # reading verifies the checksums
                            state[name]
                        states[int(state["epoch"]), int(state["written"])] = path
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                continue
        return states

    def resume(self, path: Path) -> State:
        """Return a state's arrays by name; set the attributes and epochs of `checkpoints.zarr` to those of this run."""
        group = self._checkpoints()
        if group.attrs.asdict() != self._attributes():
            group.attrs.put(self._attributes())
        self._set_epochs(group, self.epochs)
        with np.load(path, allow_pickle=False) as state:
            return {name: state[name] for name in state.files}

    def save(self, epoch: int, state: State) -> None:
        """Write a state, and delete all but the last two states; if few weights are kept, all but the last.

        Args:
            epoch: epoch of the state.
            state: arrays by name.
        """
        folder = self.folder / "resume"
        identity = {
            "epoch": np.int64(epoch),
            "config_hash": np.str_(self.run.hash),
            "code": np.str_(self._code_of_states),
        }
        with atomic_path(folder / f"{epoch:09d}.npz") as temporary, temporary.open("wb") as file:
            savez = np.savez if self.keeps_all else np.savez_compressed
            savez(file, allow_pickle=False, **state, **identity)
        for old_state in sorted(folder.glob("*.npz"))[: -2 if self.keeps_all else -1]:
            old_state.unlink()

    @property
    def _code_of_states(self) -> str:
        """The fingerprint that a state must have: that of the training code and, with `measure: during`, of the measures."""
        return self.code + self._code_of_measures

    def start(self) -> None:
        """Create an empty `checkpoints.zarr`, and remove the record and the states of earlier training."""
        (self.folder / "done.json").unlink(missing_ok=True)
        for old_state in (self.folder / "resume").glob("*.npz"):
            old_state.unlink()
        with atomic_path(self.folder / "checkpoints.zarr") as temporary:
            self._create_group(temporary)

    def _create_group(self, store: Path | MemoryStore) -> zarr.Group:
        """Create the group of `checkpoints.zarr`, with the epochs and with arrays for the weights, filled with NaN."""
        group = zarr.create_group(store, attributes=self._attributes())
        epoch = group.create_array(
            "epoch", shape=self.epochs.shape, dtype="int64", dimension_names=["epoch"], config=_STORE_ALL_CHUNKS
        )
        epoch[:] = self.epochs
        typesize = np.dtype(self.dtype).itemsize
        shuffle = BloscCodec(typesize=typesize, cname="zstd", clevel=5, shuffle="shuffle")
        for name, dims in Architecture.of(self.run).parameters.items():
            shape = tuple(dims.values())
            group.create_array(
                name,
                shape=(len(self.epochs), *shape),
                chunks=(min(self.block, len(self.epochs)), *shape),
                dtype=self.dtype,
                fill_value=float("nan"),
                # Compression saves 16 %. This is worth its time only in large sweeps, which keep few weights of each run.
                compressors=(Crc32cCodec(),) if self.keeps_all else (shuffle, Crc32cCodec()),
                # With `/`, each index of a chunk is a folder, which takes 4 kB.
                chunk_key_encoding={"name": "default", "separator": "/" if self.keeps_all else "."},
                dimension_names=["epoch", *dims],
            )
        return group

    def _has_expected_layout(self) -> bool:
        """Return whether `checkpoints.zarr` exists and has the `_description` of a store that this run would create.

        This comparison replaces checksums of the metadata: in Zarr, chunks have checksums, metadata have none.
        """
        expected = self._create_group(MemoryStore())
        try:
            return self._description(self._checkpoints()) == self._description(expected)
        except FileNotFoundError:
            return False
        except (OSError, MemoryError):  # possibly temporary: do not discard the states
            raise
        except Exception:  # damaged metadata, for which zarr raises many different errors
            return False

    def _description(self, group: zarr.Group) -> list[Any]:
        """Return the epochs of the checkpoints and the metadata of every array, for comparison.

        If runs may stop early, the epochs and the number of checkpoints are left out: `resume` restores them.
        """
        arrays = dict(group.arrays())
        may_stop = self.run.training.stop_when is not None
        metadata = [arrays[name].metadata.to_dict() for name in ("epoch", *self._shapes)]
        return [
            None if may_stop else np.asarray(arrays["epoch"]).tolist(),
            [arrays[name].shape[may_stop:] for name in ("epoch", *self._shapes)],
            *([array_metadata.get(key) for key in _COMPARED_METADATA] for array_metadata in metadata),
        ]

    def epochs_until(self, last: int) -> NDArray[np.int64]:
        """Return the epochs whose weights are stored if the run ends at the epoch `last`, including `last`."""
        return np.union1d(self.epochs[self.epochs < last], [last])

    def _set_epochs(self, group: zarr.Group, epochs: NDArray[np.int64]) -> None:
        """Set the epochs of the checkpoints in `checkpoints.zarr`; a run that stops early has fewer."""
        for _, array in group.arrays():
            if array.shape[0] != len(epochs):
                array.resize((len(epochs), *array.shape[1:]))
        stored = group["epoch"]
        assert isinstance(stored, zarr.Array)
        if not np.array_equal(np.asarray(stored), epochs):
            stored[:] = epochs

    def _checkpoints(self) -> zarr.Group:
        """Open `checkpoints.zarr` for reading and writing."""
        return zarr.open_group(self.folder / "checkpoints.zarr", mode="r+", use_consolidated=False)

    def write_block(self, first: int, block: NDArray[np.floating]) -> None:
        """Write a block of checkpoints.

        Args:
            first: index along `epoch` of the block's first checkpoint.
            block: [checkpoint, parameter]; entries after the last parameter (the optimizer's padding) are ignored.
        """
        group = self._checkpoints()
        for name, tensor in self.tensors(block).items():
            array = group[name]
            assert isinstance(array, zarr.Array)
            array.with_config(_STORE_ALL_CHUNKS)[first : first + len(block)] = tensor

    def tensors(self, block: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
        """Return the tensors of checkpoints by name, each [checkpoint, …].

        Args:
            block: [checkpoint, parameter]; entries after the last parameter are ignored.
        """
        sizes = [int(np.prod(shape)) for shape in self._shapes.values()]
        pieces = np.split(block[:, : sum(sizes)], np.cumsum(sizes)[:-1], axis=1)
        return {
            name: piece.reshape(-1, *shape) for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }

    def write_history(self, train_loss: NDArray[np.float64], evaluations: NDArray[np.float64]) -> None:
        """Write `history.zarr`.

        Args:
            train_loss: the train loss that training minimizes, after 0, 1, 2, … updates: [epoch].
            evaluations: [evaluation, quantity], in float64; quantities in the order of `EVALUATED_QUANTITIES`. The
                dimension of the evaluations is `evaluated_epoch` in the file, `history_epoch` in the cube.
        """
        evaluated_epochs = evaluation_epochs(self.run.training)[: len(evaluations)]
        history = xr.Dataset(
            {"loss": ("epoch", train_loss)}
            | {name: ("evaluated_epoch", evaluations[:, i]) for i, name in enumerate(EVALUATED_QUANTITIES)},
            {"epoch": np.arange(len(train_loss)), "evaluated_epoch": evaluated_epochs},
            self._attributes(),
        )
        write_store(history, self.folder / "history.zarr")

    def finish(self, record: dict[str, Any]) -> None:
        """Complete `checkpoints.zarr`, write `done.json`, and delete all but the last state, or all if few weights are kept.

        If the record has `stopped_at`, the arrays are cut to the checkpoints up to this epoch. If `done.json` is later deleted
        and a state remains, training writes `done.json` again from this state within seconds, without another update.
        """
        if "stopped_at" in record:
            self._set_epochs(self._checkpoints(), self.epochs_until(record["stopped_at"]))
        complete_store(self.folder / "checkpoints.zarr")
        write_json(self.folder / "done.json", self._attributes() | record)
        states = sorted((self.folder / "resume").glob("*.npz"))
        for old_state in states[:-1] if self.keeps_all else states:
            old_state.unlink()

    def _attributes(self) -> dict[str, Any]:
        """Return the attributes of the run's stores: its settings and the fingerprint of the code that trains it.

        The attribute `measured_in`, the type in which the weights are stored and measured, exists only if it is not `float32`.
        """
        return {
            "experiment": self.run.experiment,
            "run": self.run.name,
            "config_hash": self.run.hash,
            "code": self.code,
            "config": self.run.model_dump_json(),
            **({"measured_in": self.dtype} if self.dtype != "float32" else {}),
        }
