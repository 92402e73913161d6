"""Cost of training: floating-point operations, memory, and the expected time on a device. This module imports no torch.

These estimates decide how many runs a shard has and how much memory a job requests. `progress-measures plan` prints them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from progress_measures.models.architecture import Architecture
from progress_measures.models.limits import PIECE, SHORT
from progress_measures.training.objectives import objective_module

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

MIB = 2**20
# Memory of a training process before it holds a run. On CPUs, 730 to 750 MiB were measured with torch on Linux. Half of it
# is pages of shared libraries; how many of them the system attributes to the process varies. The values for CUDA are
# rough upper bounds from experience.
CPU_FLOOR = 800 * MIB
CUDA_HOST_FLOOR = 4000 * MIB
CUDA_DEVICE_FLOOR = 800 * MIB
BATCH_FLOOR = 32 * MIB  # memory of a batch, whatever its size
# Factor for memory that allocators keep. Measured peaks of batches of 1 to 6 runs, p = 13 to 113, lie below the estimate
# with this factor.
SLACK = 1.15


class Device(NamedTuple):
    """A device that trains. Numbers are from data sheets, except for `cpu`: one core of this machine, measured on request."""

    name: str
    memory: float  # bytes
    flops: float  # a second, float32 without tensor cores
    bandwidth: float  # bytes a second; infinite if memory traffic is ignored
    overhead: float  # seconds that an update takes in addition, whatever its size
    efficiency: float  # fraction of flops or bandwidth that an update is expected to reach


def _gpu(name: str, gigabytes: float, teraflops: float, terabytes: float) -> Device:
    # An update recorded as a CUDA graph has about 70 kernels, and a GPU starts each in about 2.5 µs. The efficiency is
    # an assumption.
    return Device(name, gigabytes * 1e9, teraflops * 1e12, terabytes * 1e12, 70 * 2.5e-6, 0.5)


GPUS = {
    device.name: device
    for device in (
        _gpu("h200", 141, 67, 4.8),
        _gpu("h100", 80, 67, 3.35),
        _gpu("a100", 80, 19.5, 2.0),
        _gpu("a100-40", 40, 19.5, 1.555),
        _gpu("v100", 32, 15.7, 0.9),
        _gpu("l40s", 48, 91.6, 0.864),
        _gpu("rtx4090", 24, 82.6, 1.008),
        _gpu("rtx3090", 24, 35.6, 0.936),
        _gpu("t4", 16, 8.1, 0.32),
    )
}


def core(flops: float) -> Device:
    """Return one core of a CPU as a device, given the float32 operations per second that it reaches in large matrix products.

    An update is assumed to reach a third of this rate (`make bench` prints the measured fraction), plus 2 ms for Python and
    small products.
    """
    return Device("cpu", float("inf"), flops, float("inf"), 2e-3, 0.33)


def parameters(run: Run) -> int:
    """Return the number of parameters of a run."""
    return sum(math.prod(shape) for shape in Architecture.of(run).shapes().values())


def train_pairs(run: Run) -> int:
    """Return the number of training pairs of a run."""
    return int(run.split.train_fraction * _pairs(run))


def update_examples(run: Run) -> int:
    """Return the number of examples of one update: all training pairs, or a batch of sequences."""
    return run.batch if run.on_sequences else train_pairs(run)


def evaluated_examples(run: Run) -> int:
    """Return the number of examples of one evaluation: all pairs, or the training and test sequences."""
    if not run.on_sequences:
        return _pairs(run)
    return (run.split.examples or run.batch) + run.split.test_examples


def update_flops(run: Run) -> int:
    """Return the floating-point operations of one update of one run, forward and backward, without softmaxes and AdamW.

    A multiply-add is two operations. A backward pass costs twice its forward pass.
    """
    return 2 * 3 * (_pairs_multiply_adds(run) if _fast(run) else _general_multiply_adds(run))


def _pairs_multiply_adds(run: Run) -> int:
    """Return the forward multiply-adds of the fast path `models.pairs`, for N training pairs, h heads, m neurons and c outputs.

    logits   N m c            the neurons times W_L = W_out W_U
    bags     2h N (m + c')    weighted sums of 2h table rows per pair, where c' is c rounded up to a multiple of 16
    tables                    products of weight matrices, independent of N
    """
    a = Architecture.of(run)
    n, width, padded_outputs = a.vocabulary - 1, a.heads * a.d_head, -(-a.outputs // 16) * 16
    pairs, tokens = train_pairs(run), 2 * n + 1
    neurons_to_logits = pairs * a.d_mlp * a.outputs
    bags = 2 * a.heads * pairs * (a.d_mlp + padded_outputs)
    scores = 2 * a.d_model * width + a.heads * a.d_model * tokens
    values = tokens * a.d_model * width
    rows = (a.d_model + 2 * n) * width * (a.d_mlp + padded_outputs)
    W_L = a.d_mlp * a.d_model * a.outputs
    return neurons_to_logits + bags + scores + values + rows + W_L


def _general_multiply_adds(run: Run) -> int:
    """Return the forward multiply-adds of networks read at their answer positions (`models.forward_at`).

    Products before the first attention are computed once per position and token, if these combinations are fewer than
    (examples x positions). In short sequences, the first position has one row per token in all layers.
    """
    a, sizes, examples, answers = Architecture.of(run), run.task.layout, update_examples(run), _answers(run)
    width, stream_rows, answer_rows = a.heads * a.d_head, examples * sizes.input_length, examples * answers
    rows = min(stream_rows, sizes.input_length * a.vocabulary)  # before the first attention
    mlp = 0 if a.attention_only else a.d_model * a.d_mlp
    first_position_separate = rows < stream_rows and 1 < sizes.input_length <= SHORT and not run.training.dropout
    first_rows, later_rows = (a.vocabulary, stream_rows - examples) if first_position_separate else (0, stream_rows)
    total = 0
    for layer in range(a.layers):
        input_rows = first_rows + later_rows if layer else rows
        is_last = layer == a.layers - 1
        queries = answer_rows if is_last else later_rows
        query_rows = min(queries, rows) if not layer and not is_last else queries
        total += a.d_model * width * (2 * input_rows + (query_rows if not is_last else min(answer_rows, input_rows)))
        if is_last and rows < stream_rows and a.layers == 1 and answers == 1:
            # Rows are gathered twice in each pass. The backward pass also has two products with all table rows.
            attention = queries * width * (4 * sizes.input_length + 2 * rows) // 3
        else:
            # Products of every query with every key. On a CPU, causal attention skips masked blocks; on a GPU, it does not.
            attention = 2 * queries * sizes.input_length * width
        total += attention + queries * width * a.d_model
        if not is_last:
            total += 2 * first_rows * width * a.d_model + 2 * (first_rows + later_rows) * mlp
    # With few outputs, W_out W_U is computed before it is applied to the neurons.
    few_outputs = not a.attention_only and a.outputs <= a.d_model
    if few_outputs:
        total += answer_rows * (mlp + a.d_mlp * a.outputs) + a.d_mlp * a.d_model * a.outputs
    else:
        total += 2 * answer_rows * mlp
    return total + answer_rows * a.d_model * a.outputs


def update_bytes(run: Run) -> int:
    """Return the bytes that one update of one run reads and writes, at four bytes per number."""
    a = Architecture.of(run)
    # Gradients are gathered; weight decay is applied; parameters and two moment estimates are read and written.
    adam = 12 * parameters(run)
    if not _fast(run):
        # Each activation is written and read by the next operation. The backward pass reads it and writes its gradient.
        return 4 * (4 * _kept(run, update_examples(run)) + 5 * _maskable(run) + adam)
    pairs = train_pairs(run)
    # Passes over the neurons: bag, constant, ReLU and W_L forward; W_L, mask, two bags and sum backward.
    neurons = 12 * pairs * a.d_mlp
    logits = 14 * pairs * a.outputs  # passes over the logits: W_L, skip logits, loss and its gradient, backward pass
    bags = 3 * 2 * a.heads * pairs * (a.d_mlp + a.outputs)  # rows read, forward and backward
    dropout = 5 * _maskable(run)  # random bits, masks and their scaling; masks read forward and backward
    return 4 * (neurons + logits + bags + dropout + adam)


class Memory(NamedTuple):
    """Peak memory of a batch of runs in bytes, in addition to that of the process itself."""

    device: int
    host: int


def memory(run: Run, runs: int = 1) -> Memory:
    """Estimate the peak memory of training runs as one batch.

    Args:
        run: one of the runs, which have the same shape.
        runs: number of runs in the batch.

    Returns:
        Bytes on the device and on the host; on a CPU, the process needs their sum.
    """
    a, parameter_count = Architecture.of(run), parameters(run)
    if _fast(run):
        pairs, test_pairs = train_pairs(run), _pairs(run) - train_pairs(run)
        # Training keeps neurons, logits and their gradients. Evaluation on the test pairs is partly in float64.
        number_count = pairs * (4 * a.d_mlp + 6 * a.outputs) + test_pairs * (2 * a.d_mlp + 4 * a.outputs)
    else:
        # Activations kept for the backward pass, and those of one layer for the examples that an evaluation processes at once.
        # Logits of an evaluation are in float64, for one run at a time.
        evaluated = evaluated_examples(run)
        piece = min(evaluated, max(1, PIECE // (a.heads * run.task.layout.input_length**2)))
        number_count = _kept(run, update_examples(run)) + _kept(run, piece) // a.layers
        number_count += 4 * piece * _answers(run) * a.outputs
    number_count += 3 * _maskable(run) // 2  # float32 masks, drawn from 16 random bits a neuron
    device = number_count + 6 * parameter_count  # parameters, gradients twice, two moment estimates
    host = 46 * parameter_count  # a block of 20 checkpoints in memory, another being written, states of the optimizer
    return Memory(*(int(SLACK * 4 * runs * count + BATCH_FLOOR / 2) for count in (device, host)))


def job_memory(run: Run, runs: int, gpu: bool) -> int:
    """Return the main memory that a job requests: the estimate for its process and batch, plus 10 %.

    Args:
        run: one of the runs, which have the same shape.
        runs: number of runs in the batch.
        gpu: whether the job trains on a GPU.

    Returns:
        Bytes.
    """
    batch = memory(run, runs)
    return int(1.1 * (CUDA_HOST_FLOOR + batch.host if gpu else CPU_FLOOR + batch.device + batch.host))


def capacity(run: Run, device_memory: float, margin: float = 0.8) -> int:
    """Return how many runs of the same shape fit into the memory of a GPU.

    Args:
        run: one of the runs, which have the same shape.
        device_memory: memory of the GPU, in bytes.
        margin: fraction of this memory that may be used.

    Returns:
        Number of runs; may be 0.
    """
    usable_memory = device_memory * margin - CUDA_DEVICE_FLOOR
    return max(0, int(usable_memory / memory(run, 100).device * 100))


def seconds(run: Run, runs: int, device: Device) -> float:
    """Estimate the time of training runs as one batch, from start to end.

    Args:
        run: one of the runs, which have the same shape.
        runs: number of runs in the batch.
        device: the device that trains them.

    Returns:
        Seconds.
    """
    rate = device.efficiency
    work = runs * max(update_flops(run) / (device.flops * rate), update_bytes(run) / (device.bandwidth * rate))
    # An evaluation is a forward pass only: a third of an update on as many examples.
    evaluation = work / 3 * evaluated_examples(run) / update_examples(run)
    epochs = run.training.epochs
    return epochs * (device.overhead + work) + epochs / run.training.evaluate_every * evaluation


def _fast(run: Run) -> bool:
    return objective_module(run).endswith(".pairs")


def _pairs(run: Run) -> int:
    return (Architecture.of(run).vocabulary - 1) ** 2


def _answers(run: Run) -> int:
    """Return the number of answers of an example: 1 for a pair."""
    return len(run.task.answer_names()) if run.on_sequences else 1


def _maskable(run: Run) -> int:
    """Return the number of neuron activations that one update multiplies by dropout masks; 0 without dropout."""
    if not run.training.dropout:
        return 0
    before_last = (run.model.layers - 1) * run.task.layout.input_length
    return update_examples(run) * (before_last + _answers(run)) * run.model.d_mlp


def _kept(run: Run, examples: int) -> int:
    """Return how many numbers a forward pass on these examples keeps for the backward pass or holds temporarily."""
    a, length = Architecture.of(run), run.task.layout.input_length
    width, neurons = a.heads * a.d_head, 0 if a.attention_only else a.d_mlp
    total = 0
    for layer in range(a.layers):
        queries = _answers(run) if layer == a.layers - 1 else length
        total += length * (a.d_model + 8 * width) + queries * (4 * a.d_model + 2 * width + 2 * neurons)
        # Attention pattern and two tensors of its size; they exist on a GPU and with few positions.
        total += 3 * a.heads * queries * length
    return examples * (total + 4 * _answers(run) * a.outputs)
