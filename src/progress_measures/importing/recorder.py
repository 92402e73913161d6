"""Measure a network in memory while it trains, and save the measures as a cube."""

from __future__ import annotations

import operator
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from progress_measures.errors import UserError
from progress_measures.experiments.schema import Experiment, Run
from progress_measures.importing.callables import CallableNetwork, Network
from progress_measures.importing.contents import Contents
from progress_measures.importing.findings import Finding
from progress_measures.importing.forward import unknown_settings
from progress_measures.importing.import_network import check_name, write_network
from progress_measures.importing.operations import is_path, task_of_operation
from progress_measures.importing.settings import UNKNOWN_SETTINGS, RecognizedNetwork
from progress_measures.importing.splits import ImportedSplit
from progress_measures.measures.checkpoint import RunContext
from progress_measures.measures.registry import DERIVED_FAMILIES, Measure, measures
from progress_measures.tasks import PairTask

MAX_OUTPUTS = 10_000
"""Largest number of outputs of a task."""

SLOW = frozenset({"maximal_excluded_loss"})
"""Measures that take longer than all other measures of `record` together; `record` skips them, `save` computes them."""


class Recorder:
    """Records checkpoints of a network that trains elsewhere, and computes the measures that do not need its weights.

    The network is any callable from tokens [batch, position] to logits [batch, output] or [batch, position, output]: a
    module of PyTorch, a TransformerLens network, or a function. It may also return a tuple of logits and a dictionary
    with `neurons` [batch, neuron]; then measures of neurons apply too.

    Args:
        operation: the operation that gives the right answers: `a+b`, `a-b`, `b-a`, `a*b`, `a/b` (all mod n), `sum`
            (a + b without mod), `s5` (composition of permutations), an expression such as `a^2 + a*b`, or a file with a
            table.
        modulus: number n of operand values.
        train: mask of the training pairs [a, b], or [pair] with index a * n + b; None if they are not known.
        tokens: what stands at each position, such as `a b =`, `a b` or `a 113 b 114`.
        read: answer position, whose logits are scored: `last`, or an index from 0.
        every: epochs between recorded checkpoints; `record` ignores epochs that are not multiples of it.

    Raises:
        UserError: an argument is wrong.
    """

    def __init__(
        self,
        operation: str,
        modulus: int,
        train: ArrayLike | None = None,
        tokens: str = "a b =",
        read: int | str = "last",
        every: int = 1,
    ) -> None:
        if every < 1:
            raise UserError(f"every={every}: expected a number of epochs from 1.")
        self._operation, self._n, self._tokens, self._read, self._every = operation, modulus, tokens, read, every
        # The number of outputs is known from the first checkpoint on. Until then, the task has the smallest possible
        # number of outputs. If `operation` is a file, the task has the largest number, because every answer in the table
        # must be smaller than the number of outputs.
        outputs = MAX_OUTPUTS if is_path(operation) else 2 * modulus - 1 if operation == "sum" else modulus
        self._task: PairTask = self._with_outputs(outputs)
        self._train = None if train is None else _mask(train, modulus)
        self._epochs: list[int] = []
        # names of the recorded activations: `logits`, and `neurons` and `gradient_cosines` (cosines between gradients
        # with respect to the embeddings of a and of b) if they are known
        self._names: list[str] = []
        self._run: Run | None = None
        # The logits of one checkpoint take 6 MB at p = 113 (113³ numbers of 4 bytes), so they are kept in files.
        self._folder = tempfile.TemporaryDirectory(prefix="progress-measures-")

    def record(self, network: Network, epoch: int) -> xr.Dataset | None:
        """Record a checkpoint and compute its measures.

        Args:
            network: the network; a module is evaluated in evaluation mode, and its mode is restored.
            epoch: number of updates before the checkpoint, larger than at the last recorded checkpoint.

        Returns:
            The measures with one value per checkpoint, except those in `SLOW`; None if `every` does not divide the
            epoch. Here, measures that use key frequencies use the key frequencies of this checkpoint; in the saved
            cube, those of the last checkpoint.

        Raises:
            UserError: the epoch is negative or not later than the last recorded one, the network raises an error, or it
                does not return finite logits of the right shape.
        """
        epoch = operator.index(epoch)  # also accepts integers of NumPy
        if epoch < 0:
            raise UserError(f"epoch {epoch}: expected a number of updates from 0.")
        if epoch % self._every:
            return None
        if self._epochs and epoch <= self._epochs[-1]:
            raise UserError(f"epoch {epoch}: expected an epoch after {self._epochs[-1]}, which is recorded already.")
        prefix = f"Recorder, epoch {epoch}"
        if self._run is None:
            outputs = CallableNetwork(network, self._task, prefix).output_count()
            if not is_path(self._operation) and outputs < self._task.output_count:
                raise UserError(f"{prefix}: expected {self._task.output_count} outputs or more, found {outputs}.")
            self._task = self._with_outputs(outputs)
        activations = self._checked_against_first(CallableNetwork(network, self._task, prefix).activations(), prefix)
        for name, array in activations.items():
            np.save(self._file(epoch, name), array, allow_pickle=False)
        self._names = list(activations)
        self._epochs.append(epoch)
        if self._run is None:
            (self._run,) = self._experiment(activations).runs("recorded")
        checkpoint = RunContext(self._run, activations, self._train).checkpoint(activations, epoch)
        values = {
            m.name: ((), np.asarray(m.function(m.in_required_order(checkpoint))).astype(m.dtype), m.attributes)
            for m in _scalar_measures(self._run)
        }
        return xr.Dataset(values, {"epoch": epoch})

    def save(self, out: str | Path) -> Path:
        """Write all recorded checkpoints and their measures as a folder with a cube, as an import does.

        Args:
            out: `results/<name>`.

        Returns:
            Path of the cube.

        Raises:
            UserError: nothing is recorded, or the name is taken.
        """
        folder = Path(out)
        check_name(folder)
        if not self._epochs or self._run is None:
            raise UserError("nothing is recorded: call record(network, epoch) first.")
        stored: list[dict[str, NDArray[np.floating]]] = [
            {name: np.load(self._file(epoch, name), mmap_mode="r", allow_pickle=False) for name in self._names}
            for epoch in self._epochs
        ]
        experiment = self._experiment(stored[-1])
        precision = str(stored[-1]["logits"].dtype)
        finding = Finding("split", "unknown" if self._train is None else "a list", "option", "Recorder")
        method = "none" if self._train is None else "listed"
        split = ImportedSplit(self._train, method, seed=None, fraction=None, finding=finding)
        network = RecognizedNetwork(
            experiment, weights=stored, epochs=self._epochs, split=split, findings=[], agreement={}, doubts=[]
        )
        write_network(network, Contents([], self._epochs, layout="recorded in memory"), folder, precision)
        return folder / "cube.zarr"

    def _file(self, epoch: int, name: str) -> Path:
        return Path(self._folder.name) / f"{epoch}.{name}.npy"

    def _with_outputs(self, outputs: int) -> PairTask:
        """Return the task for a number of outputs."""
        try:
            return task_of_operation(self._operation, self._n, outputs, self._tokens, self._read)
        except UserError as error:
            raise UserError(str(error).replace("--operation ", "operation ", 1)) from None

    def _checked_against_first(
        self, activations: dict[str, NDArray[np.floating]], prefix: str
    ) -> dict[str, NDArray[np.floating]]:
        """Return the activations whose names the first checkpoint has too; missing `gradient_cosines` are NaN.

        Raises:
            UserError: neurons are missing, or the shape of an activation has changed.
        """
        if not self._epochs:
            return activations
        result = {}
        for name in self._names:
            first = np.load(self._file(self._epochs[0], name), mmap_mode="r", allow_pickle=False)
            array = activations.get(name)
            if array is None and name == "gradient_cosines":
                array = np.full(first.shape, np.nan)
            if array is None or array.shape != first.shape:
                found = "none" if array is None else str(list(array.shape))
                raise UserError(
                    f"{prefix}: expected {name} {list(first.shape)}, as at epoch {self._epochs[0]}; found {found}."
                )
            result[name] = array
        return result

    def _experiment(self, activations: dict[str, NDArray[np.floating]]) -> Experiment:
        """Return the settings of the recorded network as an experiment; settings not given are marked unknown."""
        neurons = activations.get("neurons")
        model = {} if neurons is None else {"d_mlp": neurons.shape[-1]}
        unknown: dict[str, Any] = {**UNKNOWN_SETTINGS, **unknown_settings(model)}
        fraction = np.nan if self._train is None else float(self._train.mean())
        method = "none" if self._train is None else "listed"
        unknown |= {"seed": np.nan, "split_method": method, "split_seed": np.nan, "train_fraction": fraction}
        interval = int(np.gcd.reduce(self._epochs)) or 1  # the divisor is 0 if only epoch 0 is recorded
        return Experiment.model_validate(
            {
                "title": f"Recorded while training on {self._operation}, n = {self._n}",
                "task": self._task.model_dump(exclude_defaults=True) | {"kind": self._task.kind},
                "model": model,
                "training": {
                    "epochs": max(self._epochs[-1], 1),
                    "checkpoint_every": interval,
                    "evaluate_every": interval,
                },
                "imported": {
                    "file": "recorded in memory",
                    "sha256": "",
                    "format": "the forward pass of the recorded network",
                    "recognized": [f"operation {self._operation}, n {self._n}, tokens {self._tokens} (Recorder)"],
                    "assumed": [],
                    "ignored": [],
                    "logits_only": True,
                    "neurons": neurons is not None,
                    "gradients": "gradient_cosines" in activations,
                    "split_known": self._train is not None,
                    "settings": unknown,
                },
            }
        )


def _mask(train: ArrayLike, n: int) -> NDArray[np.bool_]:
    """Check the mask of the training pairs, and return it as [a, b]."""
    array = np.asarray(train)
    if array.dtype != bool or array.size != n * n:
        raise UserError(
            f"train: expected a mask of True and False with {n} x {n} entries, found {array.dtype} with shape {array.shape}."
        )
    mask = array.reshape(n, n)
    if mask.all() or not mask.any():
        raise UserError(
            "train: expected some training pairs and some test pairs; give train=None if they are not known."
        )
    return mask


def _scalar_measures(run: Run) -> list[Measure]:
    """Return the measures that apply to a run and have one value per checkpoint, except those in `SLOW`."""
    return [
        m
        for m in measures().values()
        if m.family not in DERIVED_FAMILIES
        and set(m.dims) == {"run", "epoch"}
        and m.name not in SLOW
        and m.applies_to(run)
    ]
