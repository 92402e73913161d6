"""Short experiment files for docs/config.md, the page on the fields of an experiment; a test loads each file."""

EXAMPLES = {
    "Another optimizer": """\
title: Muon on modular addition
task: {kind: modular_addition, prime: 59}
training:
  epochs: 5000
  optimizer: muon             # or adamw, adam (weight decay as an L2 penalty), sgd, lion
  learning_rate: 0.02         # of the matrices of attention and MLPs
  adamw_learning_rate: 0.001  # of embeddings, unembedding and biases
  momentum: 0.95
  weight_decay: 0.1
""",
    "Filtered and clipped gradients": """\
title: Grokfast on modular addition
task: {kind: modular_addition, prime: 59}
training:
  epochs: 5000
  optimizer: adam
  weight_decay: 0.005
  gradient_filter: grokfast_ema  # or grokfast_ma, orthograd
  grokfast_decay: 0.98
  grokfast_factor: 2.0
  clip_norm: 1.0
""",
    "Schedules": """\
title: A cosine schedule of the learning rate, and weight decay from epoch 1,000 on
task: {kind: modular_addition, prime: 59}
training:
  epochs: 5000
  learning_rate_schedule: {shape: cosine, final: 0.1}  # falls to a tenth of `learning_rate`
  weight_decay_schedule:
    shape: piecewise
    points: [[0, 0.0], [1000, 1.0]]  # factor 0 from update 0 on, factor 1 from update 1,000 on
""",
    "Another loss": """\
title: StableMax without weight decay
task: {kind: modular_addition, prime: 59}
training:
  epochs: 5000
  loss: stablemax        # or cross_entropy, mse
  label_smoothing: 0.05
  weight_decay: 0.0
  adam_epsilon: 1.0e-25
""",
    "Wrong labels": """\
title: A tenth of the training pairs has a wrong label
task: {kind: modular_addition, prime: 59}
split:
  train_fraction: 0.5
  label_noise: 0.1
training:
  epochs: 5000
""",
    "Scale and norm of the weights": """\
title: Weights that start large, with a free or a fixed norm
task: {kind: modular_addition, prime: 59}
training:
  epochs: 5000
  weight_decay: 0.0
grid:
  model.initial_scale: [1.0, 2.0, 4.0]
  training.fixed_norm: [null, initial, 30.0]
""",
    "Batches and arithmetic": """\
title: 256 pairs an update, in float64
task: {kind: modular_addition, prime: 59}
training:
  epochs: 5000
  batch: 256
  arithmetic: float64  # or float32; bfloat16 for large networks on a GPU
  precision: float64   # of the loss
""",
    "Several primes and named recipes": """\
title: Two optimizers on three primes
task: {kind: modular_addition}
training: {epochs: 5000}
grid:
  task.prime: [53, 59, 61]
  recipe:
    adamw: {}
    lion: {training.optimizer: lion, training.learning_rate: 0.0003}
  seed: [0, 1]
""",
    "Settings of another experiment": """\
title: The mainline with a higher learning rate
extends: mainline  # all settings but these
training:
  learning_rate: 0.002
grid:
  seed: [0]
""",
    "Weights of another run": """\
title: The trained mainline network, trained further without weight decay
extends: mainline
start_from: {experiment: mainline, run: seed0, epoch: 10000}
training:
  epochs: 2000
  weight_decay: 0.0
grid: {}
""",
}
"""Content of each experiment file, by what the file shows."""
