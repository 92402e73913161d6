"""Cost of training: floating-point operations, memory and expected time on a device, computed without importing torch.

These estimates decide how much memory a job requests, and how many runs form a shard, the batch that one job trains.
`progress-measures plan` prints the estimates. Runs have the same shape if they differ only in the settings that
`launcher.shards.group_by_shape` lists, such as seeds; only such runs form a shard.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from progress_measures.models.architecture import Architecture
from progress_measures.models.limits import MAX_PATTERN_ENTRIES, MAX_SHORT_LENGTH
from progress_measures.training.objectives import objective_module
from progress_measures.training.schedule import checkpoint_epochs, kept_epochs

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

MIB = 2**20
# Memory of a training process before it loads a run, in three cases: main memory without a GPU, main memory with a GPU,
# and GPU memory. Without a GPU, 730 to 750 MiB were measured with torch on Linux. The value is higher, because half of
# the measured memory is pages of shared libraries, and how many of these pages Linux counts for a process varies. The
# values for CUDA are rough upper bounds.
CPU_FLOOR = 800 * MIB
CUDA_HOST_FLOOR = 4000 * MIB
CUDA_DEVICE_FLOOR = 800 * MIB
MEASURING_MEMORY = 500 * MIB  # memory for the measures of one checkpoint, if training computes them (`measure: during`)
# Part of a shard's memory that does not grow with its number of runs: half on the device, half in main memory.
SHARD_FLOOR = 32 * MIB
# Factor for memory that allocators reserve and do not use. With this factor, the estimate exceeded the peaks that were
# measured for shards of 1 to 6 runs with p = 13 to 113.
ALLOCATOR_FACTOR = 1.15


class Device(NamedTuple):
    """A device that trains: a GPU as its data sheet describes it, or one core, named `cpu`, with a measured rate."""

    name: str
    memory: float  # bytes
    flops: float  # float32 operations per second, without tensor cores
    bandwidth: float  # bytes per second; infinite if memory traffic is ignored
    overhead: float  # seconds per update in addition to those for its operations, such as for starting kernels
    efficiency: float  # fraction of `flops` and of `bandwidth` that an update is expected to reach


def _gpu(name: str, *, gigabytes: float, teraflops: float, terabytes_per_second: float) -> Device:
    # An update captured as a CUDA graph has about 70 kernels, and a GPU starts each in about 2.5 µs. The efficiency of
    # 0.5 is an assumption.
    return Device(
        name,
        memory=gigabytes * 1e9,
        flops=teraflops * 1e12,
        bandwidth=terabytes_per_second * 1e12,
        overhead=70 * 2.5e-6,
        efficiency=0.5,
    )


GPUS = {
    device.name: device
    for device in (
        _gpu("h200", gigabytes=141, teraflops=67, terabytes_per_second=4.8),
        _gpu("h100", gigabytes=80, teraflops=67, terabytes_per_second=3.35),
        _gpu("a100", gigabytes=80, teraflops=19.5, terabytes_per_second=2.0),
        _gpu("a100-40", gigabytes=40, teraflops=19.5, terabytes_per_second=1.555),
        _gpu("v100", gigabytes=32, teraflops=15.7, terabytes_per_second=0.9),
        _gpu("l40s", gigabytes=48, teraflops=91.6, terabytes_per_second=0.864),
        _gpu("rtx4090", gigabytes=24, teraflops=82.6, terabytes_per_second=1.008),
        _gpu("rtx3090", gigabytes=24, teraflops=35.6, terabytes_per_second=0.936),
        _gpu("t4", gigabytes=16, teraflops=8.1, terabytes_per_second=0.32),
    )
}
"""GPUs by their names in `progress-measures plan --gpu`, with the values of their data sheets."""


def core(flops: float) -> Device:
    """Return the device `cpu`: one core that reaches `flops` float32 operations per second in large matrix products.

    An update is assumed to run at a third of this rate (`make bench` prints the measured fraction), and to take 2 ms more
    for Python and small products.
    """
    return Device("cpu", memory=float("inf"), flops=flops, bandwidth=float("inf"), overhead=2e-3, efficiency=0.33)


def parameter_count(run: Run) -> int:
    """Return the number of parameters of a run."""
    return sum(math.prod(shape) for shape in Architecture.of(run).shapes().values())


def train_pair_count(run: Run) -> int:
    """Return the number of training pairs of a run."""
    return int(run.split.train_fraction * _pair_count(run))


def examples_per_update(run: Run) -> int:
    """Return the number of examples of one update: `training.batch`, or all training examples."""
    return run.batch_size or train_pair_count(run)


def examples_per_evaluation(run: Run) -> int:
    """Return the number of examples of one evaluation: pairs with a right answer, or training and test sequences."""
    if not run.on_sequences:
        return _pair_count(run)
    return (run.split.examples or run.batch_size) + run.split.test_examples


def update_flops(run: Run) -> int:
    """Return the floating-point operations of one update of one run, without softmaxes and the optimizer.

    A multiply-add is two operations. A backward pass costs twice its forward pass; both are included.
    """
    multiply_adds = {
        "pairs": _pairs_multiply_adds,
        "paper_design": _paper_design_multiply_adds,
        "any_design": _any_design_multiply_adds,
    }
    return 2 * 3 * multiply_adds[_objective(run)](run)


def _pairs_multiply_adds(run: Run) -> int:
    """Return the number of multiply-adds in one forward pass by the fast path, `models.pairs`.

    For N pairs per update, h heads, m neurons and c outputs:

    logits   N m c            activations of the neurons times W_L = W_out W_U
    bags     2h N (m + c')    a bag is a pair's weighted sum of 2h table rows, for the neurons and for the logits of the
                              skip connection; c' is c rounded up to a multiple of 16, as `models.pairs` pads outputs
    tables                    products of weight matrices, independent of N
    """
    net = Architecture.of(run)
    n, heads_width, padded_outputs = run.task.sizes.operand_count, net.heads * net.d_head, -(-net.outputs // 16) * 16
    pairs, keys = examples_per_update(run), 2 * n + 1  # each value of a, each value of b, and `=`
    neurons_to_logits = pairs * net.d_mlp * net.outputs
    bags = 2 * net.heads * pairs * (net.d_mlp + padded_outputs)
    scores = 2 * net.d_model * heads_width + net.heads * net.d_model * keys
    values = keys * net.d_model * heads_width
    tables = (net.d_model + 2 * n) * heads_width * (net.d_mlp + padded_outputs)
    W_L = net.d_mlp * net.d_model * net.outputs
    return neurons_to_logits + bags + scores + values + tables + W_L


def _paper_design_multiply_adds(run: Run) -> int:
    """Return the number of multiply-adds in one forward pass by `models.forward_at_answers`: logits at answer positions only.

    Products before the first attention are computed once for each token and each position, not for every example.
    """
    net, sizes, examples, answers = Architecture.of(run), run.task.sizes, examples_per_update(run), _answer_count(run)
    heads_width, answer_rows = net.heads * net.d_head, examples * answers
    mlp = 0 if net.attention_only else net.d_model * net.d_mlp
    # The cases are those of `forward_at_answers`: `short_sequences`, attention in a table of all positions and tokens, and other
    # attention. The table is used if it has fewer rows than the examples have positions.
    uses_table = net.vocabulary < examples
    if (
        uses_table
        and 1 < sizes.input_length <= MAX_SHORT_LENGTH
        and answers == 1
        and net.layers > 1
        and not run.training.dropout
    ):
        total = _short_multiply_adds(run)
    elif uses_table and net.layers == 1 and answers == 1:
        # Table rows are gathered twice in the forward pass and twice in the backward pass, which also has two products
        # with all table rows. The count is divided by 3, because `update_flops` multiplies by 3.
        table_rows = sizes.input_length * net.vocabulary
        attention = answer_rows * heads_width * (4 * sizes.input_length + 2 * table_rows) // 3
        total = net.d_model * heads_width * (3 * table_rows + answer_rows) + attention
    else:
        total = 0
        for layer in range(net.layers):
            rows = examples * sizes.input_length if layer else net.vocabulary + sizes.input_length
            is_last = layer == net.layers - 1
            queries = answer_rows if is_last else examples * sizes.input_length
            total += net.d_model * heads_width * (2 * rows + (queries if layer and is_last else rows))
            # Products of every query with every key. Causal attention skips masked parts on a CPU, but not on a GPU.
            total += 2 * queries * sizes.input_length * heads_width + queries * heads_width * net.d_model
            total += 0 if is_last else 2 * queries * mlp
    # With few outputs, the neurons are multiplied by the product W_out W_U; otherwise by W_out, then W_U.
    few_outputs = not net.attention_only and net.outputs <= net.d_model
    if few_outputs:
        total += answer_rows * (mlp + net.d_mlp * net.outputs) + net.d_mlp * net.d_model * net.outputs
    else:
        total += 2 * answer_rows * mlp
    return total + answer_rows * net.d_model * net.outputs


def _short_multiply_adds(run: Run) -> int:
    """Return the number of multiply-adds before the last MLP by `models.short_sequences`, for a network of several layers.

    The residual stream at the first position depends only on the token there, so it is computed once for each token.
    """
    net, length, examples = Architecture.of(run), run.task.sizes.input_length, examples_per_update(run)
    heads_width, tokens, rows = net.heads * net.d_head, net.vocabulary, length * net.vocabulary
    neurons = 0 if net.attention_only else net.d_mlp
    mlp = net.d_model * neurons
    # the first layer: tables with a row for each token at each position, and bags, the sums of table rows of each
    # example
    tables = 3 * rows * net.d_model * heads_width + rows**2 * heads_width + rows * heads_width * net.d_model
    tables += rows * mlp + rows * heads_width * neurons + heads_width * mlp
    bags = sum(net.heads * (position + 1) + 1 for position in range(1, length)) * (net.d_model + neurons)
    total = tables + examples * (bags + (length - 1) * mlp) + tokens * (net.d_model * heads_width + 2 * mlp)
    for layer in range(1, net.layers):
        is_last = layer == net.layers - 1
        queries = 1 if is_last else length - 1
        total += net.d_model * heads_width * (2 * tokens + examples * (2 * (length - 1) + queries))
        # number of keys over all queries, each of which attends to the positions up to its own
        keys = length if is_last else sum(range(2, length + 1))
        total += examples * (2 * keys * heads_width + queries * heads_width * net.d_model)
        if not is_last:
            total += 2 * tokens * net.d_model * heads_width + 2 * (tokens + examples * (length - 1)) * mlp
    return total


def _any_design_multiply_adds(run: Run) -> int:
    """Return the number of multiply-adds in one forward pass by `objectives.any_design`.

    On pairs, the last layer's queries and MLP, and the logits, are computed at the answer position only; on sequences, at all
    positions.
    """
    net, examples = Architecture.of(run), examples_per_update(run)
    if net.mlp_input is not None:
        inputs, hidden = float(_mlp_inputs(net)), (net.layers - 1) * net.d_mlp**2
        if net.mlp_input == "one_hot":  # the input has no gradient, so an update has two products, not three
            inputs = inputs * 2 / 3
        return int(examples * (inputs * net.d_mlp + hidden + net.d_mlp * net.outputs))
    length, heads_width = run.task.sizes.input_length, net.heads * net.d_head
    mlp = 0 if net.attention_only else (2 + net.gated_mlp) * net.d_model * net.d_mlp
    total = 0
    for layer in range(net.layers):
        queries = _autograd_queries(run, layer)
        projections = 2 * length * net.d_model * heads_width + 2 * queries * net.d_model * heads_width
        total += projections + 2 * queries * length * heads_width + queries * mlp
    return examples * (total + _autograd_queries(run, net.layers - 1) * net.d_model * net.outputs)


def _autograd_queries(run: Run, layer: int) -> int:
    """Return the number of positions at which `objectives.any_design` computes a layer's queries and MLP."""
    is_last = layer == run.model.layers - 1
    return 1 if is_last and not run.on_sequences else run.task.sizes.input_length


def _mlp_inputs(net: Architecture) -> int:
    """Return the number of inputs of an MLP without attention."""
    return net.parameters["W_in"]["input"]


def update_bytes(run: Run) -> int:
    """Return the bytes that one update of one run reads and writes, at four bytes per number."""
    net = Architecture.of(run)
    # 12 numbers per parameter: gradients are copied into one array, weight decay is applied, and the parameters and Adam's
    # two moment estimates are read and written. Other optimizers are counted as Adam.
    adam = 12 * parameter_count(run)
    if not _uses_fast_path(run):
        # Each activation is written and read by the next operation. The backward pass reads it and writes its gradient.
        return 4 * (4 * _stored_activations(run, examples_per_update(run)) + 5 * _masked_activations(run) + adam)
    pairs = examples_per_update(run)
    # 12 reads or writes of each neuron's activation or gradient. Forward: bag (1), addition of the constant that all
    # pairs share (2), ReLU (2), product with W_L (1). Backward: product with W_L (1), ReLU mask (2), two bags (2), sum
    # over pairs (1). Two more reads of the activations in the backward pass are not counted.
    neurons = 12 * pairs * net.d_mlp
    logits = 14 * pairs * net.outputs  # W_L, skip connection, loss and its gradient, backward pass
    bags = 3 * 2 * net.heads * pairs * (net.d_mlp + net.outputs)  # table rows read, forward and backward
    dropout = 5 * _masked_activations(run)  # random bits, masks and their scaling; masks read forward and backward
    return 4 * (neurons + logits + bags + dropout + adam)


class Memory(NamedTuple):
    """Peak memory of training a shard, in bytes, without the memory that the process takes before it loads a run."""

    device: int  # on the device that trains
    host: int  # in main memory, for checkpoints and training states


def memory(run: Run, runs: int = 1) -> Memory:
    """Estimate the peak memory of training a shard.

    Args:
        run: any run of the shard; all have the same shape.
        runs: number of runs in the shard.

    Returns:
        Bytes on the device and in main memory; without a GPU, both are main memory and add up.
    """
    net = Architecture.of(run)
    if _uses_fast_path(run):
        pairs, test_pairs = train_pair_count(run), _pair_count(run) - train_pair_count(run)
        # Training stores neurons, logits and their gradients. Evaluation on the test pairs is partly in float64.
        number_count = pairs * (4 * net.d_mlp + 6 * net.outputs) + test_pairs * (2 * net.d_mlp + 4 * net.outputs)
    else:
        # An update stores activations for the backward pass. An evaluation stores one layer's activations and the logits of
        # the examples that it processes at once, and the logits of one run at a time in float64.
        evaluated = examples_per_evaluation(run)
        attention_entries = net.heads * run.task.sizes.input_length**2 * runs  # per example
        examples_at_once = min(evaluated, max(1, MAX_PATTERN_ENTRIES // attention_entries))
        # An evaluation frees each activation after its last use. In a transformer of another design than the paper's, about a
        # third of one layer's activations exist at a time.
        is_other_transformer = _objective(run) == "any_design" and net.mlp_input is None
        divisor = 3 * net.layers if is_other_transformer else net.layers
        number_count = (
            _stored_activations(run, examples_per_update(run)) + _stored_activations(run, examples_at_once) // divisor
        )
        number_count += 4 * examples_at_once * _answer_count(run) * net.outputs
    number_count += 3 * _masked_activations(run) // 2  # float32 masks, drawn from 16 random bits per activation
    state, parameters = _state_size(run), parameter_count(run)
    # the state, and three arrays for gradients and new weights; Muon needs four more arrays
    device = number_count + (3 + state + 4 * (run.training.optimizer == "muon")) * parameters
    host = (40 + 2 * state) * parameters  # a block of 20 checkpoints, a block that is being written, and two states
    return Memory(*(int(ALLOCATOR_FACTOR * _bytes(run) * runs * count + SHARD_FLOOR / 2) for count in (device, host)))


def _state_size(run: Run) -> int:
    """Return how many numbers per parameter a training state has for the parameter itself and its entries in the buffers.

    Buffers are the tensors that the optimizer and the gradient filter keep between updates. Checkpoints are not counted.
    """
    optimizer = {"adamw": 3, "adam": 3, "sgd": 2, "lion": 2, "muon": 4}[run.training.optimizer]
    filter_buffers = {"grokfast_ema": 1, "grokfast_ma": run.training.grokfast_window}
    return optimizer + filter_buffers.get(run.training.gradient_filter, 0)


def _bytes(run: Run) -> int:
    """Return the bytes of a number in the arithmetic of a run's weights."""
    return 8 if run.training.arithmetic == "float64" else 4


def job_memory(run: Run, runs: int, gpu: bool) -> int:
    """Return the main memory that a job needs: the estimate for its process and its shard, plus 10 %.

    Args:
        run: any run of the shard; all have the same shape.
        runs: number of runs in the shard.
        gpu: whether the job trains on a GPU.

    Returns:
        Bytes.
    """
    shard, measuring = memory(run, runs), MEASURING_MEMORY if run.training.measure == "during" else 0
    return int(1.1 * (measuring + (CUDA_HOST_FLOOR + shard.host if gpu else CPU_FLOOR + shard.device + shard.host)))


def disk(run: Run) -> int:
    """Estimate the largest size of a run's files while it trains: weights, training states and history, without measures.

    Returns:
        Bytes.
    """
    weights = _bytes(run) * parameter_count(run)
    # A state has the parameters and buffers, the train losses and, if all weights are kept, the checkpoints of a block of 20
    # that is not full yet. There are at most two states, and a third while it is written.
    keeps_all = run.training.keep == "all"
    state = (_state_size(run) + (20 if keeps_all else 0)) * weights + 8 * run.training.epochs
    # If few weights are kept, they are compressed to 84 % of their size.
    return int((1 if keeps_all else 0.84) * len(kept_epochs(run.training)) * weights + 3 * state)


def same_shape_runs_that_fit(run: Run, device_memory: float, usable_fraction: float = 0.8) -> int:
    """Return how many runs of the same shape fit into the memory of a GPU.

    Args:
        run: any of the runs; all have the same shape.
        device_memory: memory of the GPU, in bytes.
        usable_fraction: fraction of this memory that may be used.

    Returns:
        Number of runs; may be 0.
    """
    usable_memory = device_memory * usable_fraction - CUDA_DEVICE_FLOOR
    # memory of 100 runs, so that the part that does not grow with the number of runs hardly counts
    of_100_runs = memory(run, 100).device
    return max(0, int(usable_memory / of_100_runs * 100))


def seconds(run: Run, runs: int, device: Device) -> float:
    """Estimate the time of training a shard, from start to end.

    Args:
        run: any run of the shard; all have the same shape.
        runs: number of runs in the shard.
        device: the device that trains them.

    Returns:
        Seconds.
    """
    efficiency = device.efficiency
    update_seconds = runs * max(
        update_flops(run) / (device.flops * efficiency), update_bytes(run) / (device.bandwidth * efficiency)
    )
    # An evaluation is a forward pass only: a third of an update on as many examples.
    evaluation_seconds = update_seconds / 3 * examples_per_evaluation(run) / examples_per_update(run)
    epochs = run.training.epochs
    return epochs * (device.overhead + update_seconds) + epochs / run.training.evaluate_every * evaluation_seconds


def measuring_seconds(run: Run, core: Device) -> float:
    """Estimate the time in which one core measures all checkpoints of a run.

    Measuring a checkpoint takes a tenth of a second plus the time of 0.5 to 2.6 updates on all examples of an
    evaluation. These numbers are fitted to the times that this project's cubes record. Single experiments took between
    half and twice the estimate.

    Args:
        run: the run.
        core: the device `cpu`, from the function `core`.

    Returns:
        Seconds.
    """
    updates_per_checkpoint = 0.5 if run.on_sequences else 2.6 if _uses_fast_path(run) else 1.5
    update_seconds = (
        update_flops(run) / (core.flops * core.efficiency) * examples_per_evaluation(run) / examples_per_update(run)
    )
    return len(checkpoint_epochs(run.training)) * (0.1 + updates_per_checkpoint * update_seconds)


def _objective(run: Run) -> str:
    """Return which of the modules of `objectives` trains a run.

    `pairs` trains one-layer networks of the paper's design on pairs, `paper_design` other networks of the paper's
    design, and `any_design` networks of other designs and all networks that compute in bfloat16.
    """
    return objective_module(run).rpartition(".")[2]


def _uses_fast_path(run: Run) -> bool:
    return _objective(run) == "pairs"


def _pair_count(run: Run) -> int:
    """Return the number of pairs with a right answer."""
    return int(run.task.defined().sum())


def _answer_count(run: Run) -> int:
    """Return the number of answer positions of an example: 1 for a pair."""
    return len(run.task.answer_names()) if run.on_sequences else 1


def _masked_activations(run: Run) -> int:
    """Return the number of neuron activations that one update multiplies by dropout masks; 0 without dropout."""
    if not run.training.dropout:
        return 0
    positions_before_last_layer = (run.model.layers - 1) * run.task.sizes.input_length
    return examples_per_update(run) * (positions_before_last_layer + _answer_count(run)) * run.model.d_mlp


def _stored_activations(run: Run, examples: int) -> int:
    """Return the count of numbers that a forward pass on `examples` examples stores, for the backward pass or temporarily."""
    net, length = Architecture.of(run), run.task.sizes.input_length
    if _objective(run) == "any_design":
        return _stored_by_autograd(run, examples)
    heads_width, neurons = net.heads * net.d_head, 0 if net.attention_only else net.d_mlp
    total = 0
    for layer in range(net.layers):
        queries = _answer_count(run) if layer == net.layers - 1 else length
        total += length * (net.d_model + 8 * heads_width) + queries * (4 * net.d_model + 2 * heads_width + 2 * neurons)
        # Attention pattern and two tensors of the same shape; a CPU stores them only if there are few positions.
        total += 3 * net.heads * queries * length
    return examples * (total + 4 * _answer_count(run) * net.outputs)


def _stored_by_autograd(run: Run, examples: int) -> int:
    """Return the count of numbers that a forward pass by `objectives.any_design` stores, as `_stored_activations` does."""
    net, length = Architecture.of(run), run.task.sizes.input_length
    if net.mlp_input is not None:
        return examples * (3 * _mlp_inputs(net) + 3 * net.layers * net.d_mlp + 4 * net.outputs)
    heads_width, neurons = net.heads * net.d_head, 0 if net.attention_only else net.d_mlp
    norm_values = 0 if run.model.normalization == "none" else 6 * net.d_model
    neuron_values = (6 if net.gated_mlp else 3) * neurons
    total = 2 * length * net.d_model  # embeddings and their sum with the position vectors
    for layer in range(net.layers):
        queries = _autograd_queries(run, layer)
        values_per_query = 4 * net.d_model + 4 * heads_width + norm_values + neuron_values
        total += length * (norm_values + 6 * heads_width) + queries * values_per_query
        total += 4 * net.heads * queries * length  # scores, masked scores and attention
    return examples * (total + 4 * _autograd_queries(run, net.layers - 1) * net.outputs)
