"""What training costs: floating point operations, memory, and the time that a device is expected to take. Imports no torch.

By these runs are packed into shards, jobs ask for memory, and `progress-measures plan` is made.
"""

import math
from typing import Any, NamedTuple

from progress_measures.models.architecture import Architecture
from progress_measures.tasks import layout, task_module
from progress_measures.training.objectives import objective_module

MIB = 2**20
# Of a process that trains, before it holds a run. On CPUs 730 to 750 MiB were measured with torch on Linux: half are
# pages of libraries, and how many of them count depends on the system. CUDA's are stated from experience.
CPU_FLOOR = 800 * MIB
CUDA_HOST_FLOOR = 4000 * MIB
CUDA_DEVICE_FLOOR = 800 * MIB
BATCH_FLOOR = 32 * MIB  # of a batch, whatever its size
# Room for what allocators keep: measured peaks of batches of 1 to 6 runs, p = 13 to 113, lie below the model with it.
SLACK = 1.15
# As in `training.objectives.general` and `models.answers`, which import torch.
PIECE, SHORT = 2**24, 4


class Device(NamedTuple):
    """What trains. Data-sheet numbers, but for `cpu`, which is one core of this machine, measured on the spot."""

    name: str
    memory: float  # bytes
    flops: float  # a second, float32 without tensor cores
    bandwidth: float  # bytes a second; infinite where products are all that counts
    overhead: float  # seconds an update, whatever its size
    efficiency: float  # share of either that an update is expected to reach


def _gpu(name: str, gigabytes: float, teraflops: float, terabytes: float) -> Device:
    # A recorded update is some 70 kernels, each of which a GPU starts in about 2.5 µs. The efficiency is an assumption.
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
    """One core of a CPU, with the float32 operations a second that its big products reach.

    An update reaches a third of those (`make bench` prints it), and takes 2 ms of Python and small products besides.
    """
    return Device("cpu", float("inf"), flops, float("inf"), 2e-3, 0.33)


def parameters(run: Any) -> int:
    """Trained numbers of a run."""
    return sum(math.prod(shape) for shape in Architecture.of(run).shapes().values())


def train_pairs(run: Any) -> int:
    """Pairs that a run trains on."""
    return int(run.split.train_fraction * _pairs(run))


def update_examples(run: Any) -> int:
    """Examples of an update: all training pairs, or a batch of sequences."""
    return run.batch if run.on_sequences else train_pairs(run)


def evaluated_examples(run: Any) -> int:
    """Examples of an evaluation: all pairs, or the training sequences and the test sequences."""
    if not run.on_sequences:
        return _pairs(run)
    return (run.split.examples or run.batch) + run.split.test_examples


def update_flops(run: Any) -> int:
    """Floating point operations of one update of one run: forward and backward, without softmaxes and AdamW.

    A multiply-add is two operations; a backward pass costs twice its forward pass.
    """
    return 2 * 3 * (_pairs_multiply_adds(run) if _fast(run) else _general_multiply_adds(run))


def _pairs_multiply_adds(run: Any) -> int:
    """Forward multiply-adds of the fast path, with N training pairs, h heads, m neurons and c outputs (c' padded to 16).

    W_L      N m c            logits
    bags     2h N (m + c')    weighted sums of 2h rows a pair
    tables                    products of weights
    """
    a = Architecture.of(run)
    n, width, skip = a.vocabulary - 1, a.heads * a.d_head, -(-a.outputs // 16) * 16
    pairs, tokens = train_pairs(run), 2 * n + 1
    neurons_to_logits = pairs * a.d_mlp * a.outputs
    bags = 2 * a.heads * pairs * (a.d_mlp + skip)
    scores = 2 * a.d_model * width + a.heads * a.d_model * tokens
    values = tokens * a.d_model * width
    rows = (a.d_model + 2 * n) * width * (a.d_mlp + skip)
    W_L = a.d_mlp * a.d_model * a.outputs
    return neurons_to_logits + bags + scores + values + rows + W_L


def _general_multiply_adds(run: Any) -> int:
    """Forward multiply-adds of networks read at their answers (`models.answers`): N sequences, p positions, k answers.

    Products before the first layer are made of as many rows as there are of (positions x tokens), if those are fewer; in
    short sequences the first position has one row a token in all layers.
    """
    a, sizes, examples, answers = Architecture.of(run), layout(run.task), update_examples(run), _answers(run)
    width, places, asked = a.heads * a.d_head, examples * sizes.read_to, examples * answers
    rows = min(places, sizes.read_to * a.vocabulary)  # before the first layer
    mlp = 0 if a.attention_only else a.d_model * a.d_mlp
    apart = rows < places and 1 < sizes.read_to <= SHORT and not run.training.dropout
    first, later = (a.vocabulary, places - examples) if apart else (0, places)
    total = 0
    for layer in range(a.layers):
        before = first + later if layer else rows
        last = layer == a.layers - 1
        queries = asked if last else later
        at_once = min(queries, rows) if not layer and not last else queries
        total += a.d_model * width * (2 * before + (at_once if not last else min(asked, before)))
        if last and rows < places and a.layers == 1 and answers == 1:
            # rows are gathered twice going forward and twice back; two products with the whole table go back
            attention = queries * width * (4 * sizes.read_to + 2 * rows) // 3
        else:
            # of every query with every key: on a CPU causal attention leaves out what it can, on a GPU it does not
            attention = 2 * queries * sizes.read_to * width
        total += attention + queries * width * a.d_model
        if not last:
            total += 2 * first * width * a.d_model + 2 * (first + later) * mlp
    few_outputs = not a.attention_only and a.outputs <= a.d_model
    if few_outputs:
        total += asked * (mlp + a.d_mlp * a.outputs) + a.d_mlp * a.d_model * a.outputs
    else:
        total += 2 * asked * mlp
    return total + asked * a.d_model * a.outputs


def update_bytes(run: Any) -> int:
    """Bytes that one update of one run moves, at four a number."""
    a = Architecture.of(run)
    adam = 12 * parameters(run)  # gradients gathered, decay, two moments and parameters read and written
    if not _fast(run):
        # each activation is written, read by the next operation, read again and its gradient written going back
        return 4 * (4 * _kept(run, update_examples(run)) + 5 * _maskable(run) + adam)
    pairs = train_pairs(run)
    neurons = 12 * pairs * a.d_mlp  # bag, constant, ReLU, product; back: product, mask, two bags, sum
    logits = 14 * pairs * a.outputs  # product, skip, the criterion's passes, and back
    bags = 3 * 2 * a.heads * pairs * (a.d_mlp + a.outputs)  # rows read, going and coming back
    dropout = 5 * _maskable(run)  # random bits, mask and its scale; read going and coming back
    return 4 * (neurons + logits + bags + dropout + adam)


class Memory(NamedTuple):
    """Bytes of a batch of runs at its peak, beside what the process takes anyway."""

    device: int
    host: int


def memory(run: Any, runs: int = 1) -> Memory:
    """Peak memory of training so many such runs as one batch. On a CPU both are one."""
    a, held = Architecture.of(run), parameters(run)
    if _fast(run):
        pairs, others = train_pairs(run), _pairs(run) - train_pairs(run)
        # training keeps neurons and logits and their gradients; evaluation on the others is in float64 in parts
        numbers = pairs * (4 * a.d_mlp + 6 * a.outputs) + others * (2 * a.d_mlp + 4 * a.outputs)
    else:
        # what is kept to go back, and a layer of an evaluation in pieces, whose logits are float64 one run at a time
        evaluated = evaluated_examples(run)
        piece = min(evaluated, max(1, PIECE // (a.heads * layout(run.task).read_to ** 2)))
        numbers = _kept(run, update_examples(run)) + _kept(run, piece) // a.layers
        numbers += 4 * piece * _answers(run) * a.outputs
    numbers += 3 * _maskable(run) // 2  # masks of float32, made from 16 random bits a neuron
    device = numbers + 6 * held  # parameters, gradients twice, moments
    host = 46 * held  # a block of 20 checkpoints filling, one being written, states of the optimizer
    return Memory(*(int(SLACK * 4 * runs * count + BATCH_FLOOR / 2) for count in (device, host)))


def job_memory(run: Any, runs: int, gpu: bool) -> int:
    """Bytes of main memory that a job must ask for: what its process takes, and a tenth."""
    batch = memory(run, runs)
    return int(1.1 * (CUDA_HOST_FLOOR + batch.host if gpu else CPU_FLOOR + batch.device + batch.host))


def capacity(run: Any, device_memory: float, margin: float = 0.8) -> int:
    """How many such runs fit into so many bytes of a GPU, of which a margin is used."""
    room = device_memory * margin - CUDA_DEVICE_FLOOR
    return max(0, int(room / memory(run, 100).device * 100))


def seconds(run: Any, runs: int, device: Device) -> float:
    """Expected time of training so many such runs as one batch, in full."""
    rate = device.efficiency
    work = runs * max(update_flops(run) / (device.flops * rate), update_bytes(run) / (device.bandwidth * rate))
    # an evaluation goes forward: a third of an update on as many
    evaluation = work / 3 * evaluated_examples(run) / update_examples(run)
    epochs = run.training.epochs
    return epochs * (device.overhead + work) + epochs / run.training.evaluate_every * evaluation


def _fast(run: Any) -> bool:
    return objective_module(run).endswith(".pairs")


def _pairs(run: Any) -> int:
    return (Architecture.of(run).vocabulary - 1) ** 2


def _answers(run: Any) -> int:
    """Answers a sequence."""
    return len(task_module(run.task.kind).answer_names(run.task)) if run.on_sequences else 1


def _maskable(run: Any) -> int:
    """Neurons that dropout has a mask for: of an update's examples, as many as are computed."""
    if not run.training.dropout:
        return 0
    before_last = (run.model.layers - 1) * layout(run.task).read_to
    return update_examples(run) * (before_last + _answers(run)) * run.model.d_mlp


def _kept(run: Any, examples: int) -> int:
    """Numbers that so many examples keep for the backward pass, and make on the way."""
    a, length = Architecture.of(run), layout(run.task).read_to
    width, neurons = a.heads * a.d_head, 0 if a.attention_only else a.d_mlp
    total = 0
    for layer in range(a.layers):
        queries = _answers(run) if layer == a.layers - 1 else length
        total += length * (a.d_model + 8 * width) + queries * (4 * a.d_model + 2 * width + 2 * neurons)
        total += 3 * a.heads * queries * length  # patterns, and two like them: on a GPU, and in few positions
    return examples * (total + 4 * _answers(run) * a.outputs)
