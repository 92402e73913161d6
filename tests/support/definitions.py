"""The definitions of all measures, computed slowly for small networks.

This module imports neither `progress_measures.measures` nor `progress_measures.fourier`. Activations come from the
general transformer. The 2D Fourier components of a function f are F f F^T, kept or removed by masks, and cos(w(a + b - c))
is an array of p^3 numbers. Functions of (a, b) are arrays [a, b, …].
"""

import functools
from functools import cached_property

import numpy as np
import torch
from scipy.special import log_softmax

from progress_measures.models.transformer import forward

# ---- Fourier


@functools.cache
def basis(p):
    """Return the Fourier basis with the rows constant, cos 1, sin 1, cos 2, …, each of norm 1: [component, number].

    If p is even, the last sine is 0 everywhere, and its row is 0.
    """
    x = np.arange(p)
    rows = [np.ones(p)]
    for k in range(1, p // 2 + 1):
        rows += [np.cos(2 * np.pi * k * x / p), np.sin(2 * np.pi * k * x / p)]
    matrix = np.array([unit(row) for row in rows])
    matrix.setflags(write=False)  # all callers share it
    return matrix


def unit(wave):
    """Return an array divided by its norm, or zeros if it is 0 up to rounding."""
    norm = np.linalg.norm(wave)
    return wave / norm if norm > 1e-9 else np.zeros_like(wave)


def masked(values, mask):
    """Return a function [a, b, …] with its 2D Fourier components multiplied by a mask [component, component]."""
    F = basis(len(values))
    components = np.einsum("ia,jb,ab...->ij...", F, F, values, optimize=True)
    masked_components = components * mask.reshape(mask.shape + (1,) * (values.ndim - 2))
    return np.einsum("ia,jb,ij...->ab...", F, F, masked_components, optimize=True)


def block(values, frequencies):
    """Return a function's part in the 2D components {const, cos k, sin k}^2 of some frequencies, without the constant."""
    mask = np.zeros((len(basis(len(values))),) * 2)
    for k in frequencies:
        mask[np.ix_([0, 2 * k - 1, 2 * k], [0, 2 * k - 1, 2 * k])] = 1
    mask[0, 0] = 0
    return masked(values, mask)


def products(values, frequencies):
    """Return a function's part in the 2D components {cos k, sin k}^2 of some frequencies."""
    mask = np.zeros((len(basis(len(values))),) * 2)
    for k in frequencies:
        mask[np.ix_([2 * k - 1, 2 * k], [2 * k - 1, 2 * k])] = 1
    return masked(values, mask)


def directions(values, frequencies, sign):
    """Return a function's projection on the unit vectors along cos and sin of w_k(a + b), or of w_k(a - b)."""
    F = basis(len(values))
    projection = np.zeros_like(values)
    for k in frequencies:
        cos, sin = F[2 * k - 1], F[2 * k]
        d_cos = unit(np.outer(cos, cos) - sign * np.outer(sin, sin))
        d_sin = unit(np.outer(sin, cos) + sign * np.outer(cos, sin))
        for d in (d_cos, d_sin):
            projection += np.multiply.outer(d, np.tensordot(d, values))
    return projection


def cosine(p, k, sign, outputs):
    """Return cos(w_k(a ± b - c)), 0 at outputs c that are no answers, divided by its norm: [a, b, c]."""
    a, b, c = np.indices((p, p, outputs))
    wave = np.where(c < p, np.cos(2 * np.pi * k / p * (a + sign * b - c)), 0)
    return wave / np.linalg.norm(wave)


# ---- arithmetic


def cross_entropy(logits, labels):
    """Return the loss -log softmax at the label of each pair, computed by scipy: [a, b]."""
    return -np.take_along_axis(log_softmax(logits, axis=-1), labels[..., None], -1)[..., 0]


def correct(logits, labels):
    """Return whether the label's logit is the largest, for each pair: [a, b]."""
    return logits.argmax(-1) == labels


def gini(values):
    """Return the Gini coefficient: half the mean absolute difference over all pairs of values, divided by their mean."""
    differences = [[abs(x - y) for y in values] for x in values]
    return np.mean(differences) / 2 / np.mean(values)


def energy(values):
    """Return the sum of squares over (a, b)."""
    return np.square(values).sum((0, 1))


# ---- one checkpoint


class Network:
    """Activations of a checkpoint on all pairs, and quantities that several definitions use.

    Args:
        train: [a, b], true for training pairs.
        final: the `Network` of the last checkpoint; by default this one.
    """

    def __init__(self, run, weights, train, final=None):
        self.run = run
        self.weights, self.all_weights, self.train, self.test = weights, weights, train, ~train
        self.final = self if final is None else final
        self.n = n = len(weights["W_E"]) - 1
        a, b = np.indices((n, n))
        is_difference = run.task.kind == "modular_subtraction" or getattr(run.task, "expression", "") == "a - b"
        self.sign = -1 if is_difference else 1
        self.labels = a + b if run.task.kind == "integer_addition" else (a + self.sign * b) % n
        activations = {}

        def at_equals(values):
            return values[0, :, -1].numpy().reshape(n, n, *values.shape[3:])

        self.logits = self.logits_with(lambda name, value: activations.__setitem__(name, value))
        self.pre = at_equals(activations["blocks.0.mlp.hook_pre"])
        self.post = at_equals(activations["blocks.0.mlp.hook_post"])
        self.resid_mid = at_equals(activations["blocks.0.hook_resid_mid"])
        pattern = activations["blocks.0.attn.hook_pattern"]  # [run, example, head, query, key]
        self.attention = at_equals(pattern.transpose(2, 3))  # [a, b, head, position]
        self.pattern = pattern[0].numpy()  # [pair, head, query, position]
        self.z = at_equals(activations["blocks.0.attn.hook_z"])  # [a, b, head, d_head]
        self.mlp_out = at_equals(activations["blocks.0.hook_mlp_out"])

    def logits_with(self, hook):
        """Return the logits of every pair at `=`, with the general transformer's activations passed through a hook."""
        tokens = torch.tensor([[a, b, self.n] for a in range(self.n) for b in range(self.n)])
        logits = forward({name: torch.tensor(w)[None] for name, w in self.weights.items()}, tokens, hook)
        return logits[0, :, -1].numpy().reshape(self.n, self.n, -1)

    def replacing(self, activation, values):
        """Return the logits with an activation at `=` replaced by values, which broadcast to [a, b, …]."""

        def hook(name, value):
            if name == f"blocks.0.{activation}":
                value = value.clone()
                new = torch.as_tensor(np.broadcast_to(values, self.logits.shape[:2] + values.shape[2:]).copy())
                value[0, :, -1] = new.reshape(value[0, :, -1].shape)
            return value

        return self.logits_with(hook)

    def replacing_pattern(self, attention):
        """Return the logits with the attention from `=` replaced: [a, b, head, position]."""

        def hook(name, value):
            if name == "blocks.0.attn.hook_pattern":
                value = value.clone()
                value[0, :, :, -1] = torch.as_tensor(attention.reshape(-1, *attention.shape[2:]))
            return value

        return self.logits_with(hook)

    @property
    def frequencies(self):
        """All frequencies, 1 to n/2, rounded down."""
        return range(1, self.n // 2 + 1)

    @cached_property
    def centered(self):
        """Logits minus their mean over pairs."""
        return self.logits - self.logits.mean((0, 1))

    @cached_property
    def fractions_explained(self):
        """Fraction of each neuron's variance in each frequency's block: [neuron, frequency], NaN for constant neurons."""
        return np.stack([fraction_in(self.post, block(self.post, [k])) for k in self.frequencies], -1)

    @cached_property
    def best_frequency(self):
        """Each neuron's best frequency, 0 for a constant neuron, and the fraction of variance it explains: [neuron] each."""
        frequencies_and_fractions = [
            (int(np.argmax(row)) + 1, max(row)) if np.isfinite(row).all() else (0, 0.0)
            for row in self.fractions_explained
        ]
        return [np.array(column) for column in zip(*frequencies_and_fractions, strict=True)]

    @cached_property
    def cluster_sizes(self):
        """Number of neurons of which a frequency explains at least 85 % of the variance: [frequency]."""
        return [sum(1 for row in self.fractions_explained if row[k - 1] >= 0.85) for k in self.frequencies]

    @cached_property
    def key_frequencies(self):
        """Key frequencies of the last checkpoint: those whose cluster has at least 1 % of all neurons."""
        final = self.final
        return [
            k
            for k, size in zip(self.frequencies, final.cluster_sizes, strict=True)
            if size >= 0.01 * len(final.fractions_explained)
        ]

    def along_directions(self, frequencies):
        """Return P L, the projection of the logits L on the directions of some frequencies."""
        return directions(self.logits, frequencies, self.sign)

    @cached_property
    def restricted_logits(self):
        """Logits of the restricted loss: P L of the key frequencies, plus the mean over pairs of L - P L."""
        projection = self.along_directions(self.key_frequencies)
        return projection + (self.logits - projection).mean((0, 1))

    @property
    def harmonics(self):
        """Frequencies whose cosine of a + b equals that of 1, 2 or 3 times a key frequency, and is not constant."""
        x = np.arange(self.n)
        waves = [np.cos(2 * np.pi * m * k * x / self.n) for k in self.key_frequencies for m in (1, 2, 3)]
        return [
            k for k in self.frequencies if any(np.allclose(np.cos(2 * np.pi * k * x / self.n), wave) for wave in waves)
        ]

    @cached_property
    def is_right(self):
        """Whether the answer to each pair is right: [a, b]."""
        return correct(self.logits, self.labels)

    @cached_property
    def key_neurons(self):
        """Projection of the neurons on the key frequencies' directions."""
        return directions(self.post, self.key_frequencies, self.sign)

    def neuron_logits(self, neurons):
        """Return the contribution of neurons to the logits, without the bias."""
        return neurons @ self.weights["W_out"][0] @ self.weights["W_U"]

    @cached_property
    def without_key_neurons(self):
        """Logits of the network after the key frequencies' directions are removed from its neurons."""
        mlp = (self.post - self.key_neurons) @ self.weights["W_out"][0]
        if "b_out" in self.weights:
            mlp += self.weights["b_out"][0]
        return (self.resid_mid + mlp) @ self.weights["W_U"]

    @cached_property
    def fourier_norms(self):
        """Norm of each Fourier component of W_E, W_L and W_U: [component] each."""
        F, w, W_L = basis(self.n), self.weights, self.W_L_of_answers
        return {
            "W_E": np.array([np.linalg.norm(sum(row[x] * w["W_E"][x] for x in range(self.n))) for row in F]),
            "W_L": np.array([np.linalg.norm(W_L @ row) for row in F]),
            "W_U": np.array([np.linalg.norm(w["W_U"][:, : self.n] @ row) for row in F]),
        }

    @property
    def W_L_of_answers(self):
        """The columns of W_out W_U of the n outputs that are answers: [neuron, answer]."""
        return self.weights["W_out"][0] @ self.weights["W_U"][:, : self.n]

    def frequency_norms(self, name):
        """Return the norm of the cos and sin components of each frequency in W_E, W_L or W_U: [frequency]."""
        norms = self.fourier_norms[name]
        return np.array([np.sqrt(norms[2 * k - 1] ** 2 + norms[2 * k] ** 2) for k in self.frequencies])

    @cached_property
    def cosines(self):
        """The orthonormal functions cos(w_k(a ± b - c)): [frequency, a, b, c]."""
        outputs = self.logits.shape[-1]
        return np.stack([cosine(self.n, k, self.sign, outputs) for k in self.frequencies])

    def along_cosines(self, values, frequencies):
        """Return the projection of values [a, b, c] on the cosines of some frequencies."""
        parts = ((values * self.cosines[k - 1]).sum() * self.cosines[k - 1] for k in frequencies)
        return sum(parts, np.zeros_like(values))

    def centered_over(self, axis):
        """Return the logits minus their mean over an axis, `outputs` or `pairs`; unchanged for an empty string."""
        return {
            "": self.logits,
            "outputs": self.logits - self.logits.mean(-1, keepdims=True),
            "pairs": self.centered,
        }[axis]

    @cached_property
    def contributions(self):
        """Contributions of tokens and positions to attention scores and to neurons before the ReLU, by name."""
        w = self.weights
        equals = w["W_E"][self.n] + w["W_pos"][2]
        heads = list(zip(w["W_Q"][0], w["W_K"][0], w["W_V"][0], w["W_O"][0], strict=True))
        contributions = {"offset": equals @ w["W_in"][0] + (w["b_in"][0] if "b_in" in w else 0)}
        for name, rows in (("token", w["W_E"]), ("position", w["W_pos"])):
            contributions[f"score_{name}"] = np.array(
                [[(equals @ Q) @ (x @ K) / np.sqrt(Q.shape[1]) for x in rows] for Q, K, _, _ in heads]
            )
            contributions[f"value_{name}"] = np.array(
                [[x @ V @ out @ w["W_in"][0] for x in rows] for _, _, V, out in heads]
            )
        return contributions

    @cached_property
    def selected_neurons(self):
        """The 12 neurons of `moment_*` measures: the best explained of each key frequency, the worst explained, then others."""
        frequency, fraction = self.final.best_frequency
        selected = [
            max(np.flatnonzero(frequency == k), key=lambda neuron: fraction[neuron]) for k in self.key_frequencies
        ]
        selected.append(min(range(len(fraction)), key=lambda neuron: fraction[neuron]))
        return (selected + [neuron for neuron in range(len(fraction)) if neuron not in selected])[:12]


class TwoLayerNetwork(Network):
    """A checkpoint of two layers; its neurons, W_in, W_out and their biases are taken from the last layer."""

    def __init__(self, run, weights, train):
        super().__init__(run, weights, train)
        self.weights = {n: w[-1:] if n in ("W_in", "W_out", "b_in", "b_out") else w for n, w in weights.items()}

    def logits_with(self, hook):
        """Return the logits of every pair at `=`; the hook receives the last layer's activations under the names of layer 0."""
        tokens = torch.tensor([[a, b, self.n] for a in range(self.n) for b in range(self.n)])
        tensors = {name: torch.tensor(w)[None] for name, w in self.all_weights.items()}

        def renamed(name, activation):
            if name.startswith("blocks.1."):
                hook(name.replace("blocks.1.", "blocks.0."), activation)

        return forward(tensors, tokens, renamed)[0, :, -1].numpy().reshape(self.n, self.n, -1)


def fraction_in(values, part):
    """Return the fraction of each function's variance over (a, b) that its part explains; NaN for constant functions."""
    variance = energy(values - values.mean((0, 1)))
    return np.array([e / v if v > 1e-20 else np.nan for e, v in zip(energy(part), variance, strict=True)])


def with_key_frequencies(function):
    """Return a definition that is NaN for networks without key frequencies."""
    return lambda net: function(net) if net.key_frequencies else np.nan


def at_final_frequency(net, part):
    """Return the fraction of each neuron's variance that its final frequency explains: [activation, neuron].

    The activations are before and after the ReLU. `part` is `block` or `products`. A neuron's final frequency is its best
    frequency at the last checkpoint.
    """
    fractions = {k: [fraction_in(values, part(values, [k])) for values in (net.pre, net.post)] for k in net.frequencies}
    frequency, _ = net.final.best_frequency
    return [[fractions[k][stage][neuron] if k else np.nan for neuron, k in enumerate(frequency)] for stage in (0, 1)]


def excluded_logits(net, frequencies):
    """Return the logits of the excluded loss for some frequencies: the logits minus P L."""
    return net.logits - net.along_directions(frequencies)


def by_frequency(function):
    """Return a definition that evaluates a function of the network and a frequency for every frequency: [frequency]."""
    return lambda net: np.array([function(net, k) for k in net.frequencies])


def explained_by_cosines(axis):
    """Return the definition of the fraction of the centered logits' sum of squares that the key cosines explain."""

    def fraction(net):
        logits = net.centered_over(axis)
        return np.square(net.along_cosines(logits, net.key_frequencies)).sum() / np.square(logits).sum()

    return with_key_frequencies(fraction)


def explained_by_directions(axis):
    """Return the definition of the fraction of the centered logits' sum of squares that the key directions explain."""

    def fraction(net):
        logits = net.centered_over(axis)
        return np.square(directions(logits, net.key_frequencies, net.sign)).sum() / np.square(logits).sum()

    return with_key_frequencies(fraction)


def residual(net, frequencies):
    """Return the norm of the logits minus their projection on some frequencies' cosines, over the norm of the logits."""
    return np.linalg.norm(net.logits - net.along_cosines(net.logits, frequencies)) / np.linalg.norm(net.logits)


def head_frequencies(net):
    """Return the frequency that explains the largest fraction of each head's attention to a, and all fractions.

    The frequencies are [head], the fractions [frequency, head].
    """
    to_a = net.attention[..., 0]
    fractions = np.array([fraction_in(to_a, block(to_a, [k])) for k in net.frequencies])
    return fractions.argmax(0) + 1, fractions


def explained(values, fit):
    """Return the fraction of a function's variance that a fit explains; NaN for a constant function."""
    return (
        np.nan if np.ptp(values) == 0 else 1 - np.square(values - fit).sum() / np.square(values - values.mean()).sum()
    )


def difference_fits(net):
    """Fit 1/2 + alpha (cos wa - cos wb) + beta (sin wa - sin wb) to each head's attention to a.

    Returns:
        alpha, beta and the fraction of variance explained: [head, 3].
    """
    a, b = np.indices((net.n, net.n))
    rows = []
    for head, k in enumerate(head_frequencies(net)[0]):
        w, to_a = 2 * np.pi * k / net.n, net.attention[..., head, 0]
        X = np.stack([np.cos(w * a) - np.cos(w * b), np.sin(w * a) - np.sin(w * b)], -1).reshape(-1, 2)
        alpha, beta = np.linalg.lstsq(X, to_a.ravel() - 0.5, rcond=1e-9)[0]
        rows.append([alpha, beta, explained(to_a, 0.5 + (X @ [alpha, beta]).reshape(to_a.shape))])
    return np.array(rows)


def score_differences(net):
    """Return C_j[a] - C_j[b], where C_j[x] is the score of head j from `=` to the token x: [a, b, head]."""
    scores = net.contributions["score_token"][:, : net.n]
    return np.array([[scores[:, a] - scores[:, b] for b in range(net.n)] for a in range(net.n)])


def slopes(net):
    """Return the least-squares slope E_j in A_0 = 1/2 + E_j (C_j[a] - C_j[b]), where A_0 is head j's attention to a: [head]."""
    x = score_differences(net)
    return np.array(
        [np.polynomial.polynomial.polyfit(x[..., j].ravel(), net.attention[..., j, 0].ravel() - 0.5, [1])[1]
         for j in range(x.shape[-1])]
    )  # fmt: skip


def linear_attention(net):
    """Return the attention to a predicted from scores, 1/2 + E_j (C_j[a] - C_j[b]) with the `slopes` E_j: [a, b, head]."""
    return 0.5 + slopes(net) * score_differences(net)


def pooled_line_fraction(net):
    """Return the fraction of the variance of attention to a that `linear_attention` explains, over all heads together."""
    to_a = net.attention[..., 0]
    return 1 - energy(to_a - linear_attention(net)).sum() / energy(to_a - to_a.mean((0, 1))).sum()


def sigmoid_distance(net):
    """Return the mean over pairs of |attention to a - sigmoid(score of a - score of b)|: [head]."""
    position = net.contributions["score_position"]
    x = score_differences(net) + position[:, 0] - position[:, 1]
    return np.abs(net.attention[..., 0] - 1 / (1 + np.exp(-x))).mean((0, 1))


def scores_along_basis(net):
    """Return the scores C_j of each head in the Fourier basis: [head, component]."""
    return np.array([[row @ scores[: net.n] for row in basis(net.n)] for scores in net.contributions["score_token"]])


def score_fractions(net):
    """Return the fraction of the variance of C_j that the frequency of head j explains: [head]."""
    coefficients = scores_along_basis(net)
    return [
        np.square(row[2 * k - 1 : 2 * k + 1]).sum() / np.square(row[1:]).sum()
        for row, k in zip(coefficients, head_frequencies(net)[0], strict=True)
    ]


def head_output_fractions(net):
    """Return the fraction of the variance of each head's output in each frequency's block: [head, frequency]."""
    fractions = []
    for head in range(net.z.shape[2]):
        written = net.z[:, :, head] @ net.weights["W_O"][0, head]
        total = energy(written - written.mean((0, 1))).sum()
        fractions.append([energy(block(written, [k])).sum() / total for k in net.frequencies])
    return fractions


def OV_norms(net):
    """Return the norms of the Fourier components of W_E W_V W_O: [head, component]."""
    w = net.weights
    F, embeddings = basis(net.n), w["W_E"][: net.n]
    return [np.linalg.norm(F @ embeddings @ V @ out, axis=1) for V, out in zip(w["W_V"][0], w["W_O"][0], strict=True)]


def neurons_along_W_L(net):
    """Return the neurons times W_L cos_k and W_L sin_k, for cos and sin of the Fourier basis: [a, b, frequency, wave]."""
    W_L, F = net.W_L_of_answers, basis(net.n)
    return np.stack([np.stack([net.post @ W_L @ F[2 * k - 1 + s] for s in (0, 1)], -1) for k in net.frequencies], 2)


def wave_products(n, k):
    """Return cos a cos b, sin a sin b, sin a cos b and cos a sin b at frequency k: [a, b] each."""
    a, b = 2 * np.pi * k / n * np.indices((n, n))
    return [np.cos(a) * np.cos(b), np.sin(a) * np.sin(b), np.sin(a) * np.cos(b), np.cos(a) * np.sin(b)]


def coefficient_on(function, wave):
    """Return the least-squares coefficient of a function on a wave; 0 for a wave that is 0 up to rounding."""
    return (function * wave).sum() / (wave * wave).sum() if np.abs(wave).max() > 1e-9 else 0.0


def product_coefficients(net):
    """Return the coefficients of `neurons_along_W_L` on the four `wave_products`: [frequency, wave, product]."""
    readout = neurons_along_W_L(net)
    return [[[coefficient_on(readout[:, :, i, s], wave) for wave in wave_products(net.n, k)] for s in (0, 1)]
            for i, k in enumerate(net.frequencies)]  # fmt: skip


def single_wave_fits(net):
    """Fit cos or sin of w(a ± b) to `neurons_along_W_L`; return coefficient and fraction explained: [frequency, wave, 2]."""
    readout, rows = neurons_along_W_L(net), []
    for i, k in enumerate(net.frequencies):
        a, b = np.indices((net.n, net.n))
        angle = 2 * np.pi * k / net.n * (a + net.sign * b)
        waves = (np.cos(angle), np.sin(angle))
        coefficients = [coefficient_on(readout[:, :, i, s], waves[s]) for s in (0, 1)]
        fits = [explained(readout[:, :, i, s], readout[:, :, i, s].mean() + coefficients[s] * waves[s]) for s in (0, 1)]
        rows.append(list(zip(coefficients, fits, strict=True)))
    return np.array(rows)


def singular_values(net):
    """Return the singular values of W_L, as the positive eigenvalues of the block matrix [[0, W_L], [W_L^T, 0]]."""
    W_L = net.weights["W_out"][0] @ net.weights["W_U"]
    zero = [np.zeros((size, size)) for size in W_L.shape]
    symmetric = np.block([[zero[0], W_L], [W_L.T, zero[1]]])
    return np.abs(np.linalg.eigvalsh(symmetric)[::-1][: min(W_L.shape)])


def norms_2d(values):
    """Return the norm of each 2D Fourier component, over all functions [a, b] in `values`: [component, component]."""
    F = basis(len(values))
    return np.linalg.norm(np.stack([F @ values[..., i] @ F.T for i in range(values.shape[-1])], -1), axis=-1)


@functools.cache
def neuron_fits(net):
    """Fit each neuron by nine terms of its final frequency: 1, cos and sin of wa and of wb, and their four products.

    Returns:
        Least-squares coefficients [neuron, term] and the fitted neurons [a, b, neuron].
    """
    a, b = np.indices((net.n, net.n))
    coefficients, fitted = [], []
    for neuron, k in enumerate(net.final.best_frequency[0]):
        w = 2 * np.pi * k / net.n
        ones = np.ones((net.n, net.n))
        linear_terms = [ones, np.cos(w * a), np.sin(w * a), np.cos(w * b), np.sin(w * b)]
        X = np.stack(linear_terms + wave_products(net.n, k), -1).reshape(-1, 9)
        X = X if k else X * (np.arange(9) == 0)
        solution = np.linalg.lstsq(X, net.post[..., neuron].ravel(), rcond=1e-9)[0]
        coefficients.append(solution)
        fitted.append((X @ solution).reshape(net.n, net.n))
    return np.array(coefficients), np.stack(fitted, -1)


def cluster_norms(net):
    """Return the norm of each Fourier component of W_L over the neurons of each cluster: [frequency, component]."""
    W_L = net.W_L_of_answers @ basis(net.n).T
    frequency, fraction = net.final.best_frequency
    return [np.linalg.norm(W_L[(frequency == k) & (fraction >= 0.85)], axis=0) for k in net.frequencies]


@functools.cache
def interventions(net):
    """Return the logits after each intervention, by name; None if an intervention needs key frequencies and there are none."""
    w, post, resid_mid = net.weights, net.post, net.resid_mid
    equals = w["W_E"][net.n] + w["W_pos"][2]
    W_L = w["W_out"][0] @ w["W_U"]
    attention_to_pair = net.attention.copy()
    attention_to_pair[..., 2] = 0
    linear_to_a = linear_attention(net)
    linear = np.stack([linear_to_a, 1 - linear_to_a, 0 * linear_to_a], -1)
    clustered = net.final.best_frequency[1] >= 0.85
    zeros = np.zeros((1, 1, len(equals)))

    def with_mean(part):
        """Return a part of the logits plus the mean over pairs of the remaining logits."""
        return part + (net.logits - part).mean((0, 1))

    logits = {
        "none": net.logits,
        "MLP skip zeroed": net.replacing("hook_resid_post", net.mlp_out),
        "MLP skip at its mean": net.replacing("hook_resid_post", net.mlp_out + resid_mid.mean((0, 1))),
        "attention zeroed": net.replacing("hook_attn_out", zeros),
        "attention skip zeroed": net.replacing("hook_resid_mid", resid_mid - equals),
        "attention to = zeroed": net.replacing_pattern(attention_to_pair),
        "attention to = shared out": net.replacing_pattern(
            attention_to_pair / attention_to_pair.sum(-1, keepdims=True)
        ),
        "attention linear in scores": net.replacing_pattern(linear),
        "neurons replaced by fits": net.replacing("mlp.hook_post", np.where(clustered, neuron_fits(net)[1], post)),
        "neurons on key directions": None,
        "W_L alone": with_mean(post @ W_L),
        "W_L's key directions alone": None,
        "W_L's key directions alone, skip at its mean": None,
        "W_L's key directions removed": None,
        "clusters at their frequencies, W_L alone": with_mean(np.where(clustered, neuron_fits(net)[1], post) @ W_L),
        "clusters at their frequencies alone": with_mean(np.where(clustered, neuron_fits(net)[1], 0) @ W_L),
    }
    if net.key_frequencies:
        F = basis(net.n)
        D = net.W_L_of_answers @ F[[2 * k - i for k in net.key_frequencies for i in (0, 1)]].T
        along_key_directions = post @ D @ np.linalg.pinv(D)
        logits |= {
            "neurons on key directions": net.replacing("mlp.hook_post", net.key_neurons + post.mean((0, 1))),
            "W_L's key directions alone": net.replacing("mlp.hook_post", along_key_directions),
            "W_L's key directions alone, skip at its mean": with_mean(along_key_directions @ W_L),
            "W_L's key directions removed": net.replacing("mlp.hook_post", post - along_key_directions),
        }
    return logits


def cluster_removed_losses(net):
    """Return the loss over all pairs with the neurons of each cluster set to zero: [frequency].

    The logits are W_L times the neurons, plus the mean over pairs of everything else. The fit replaces each clustered neuron.
    """
    W_L, (frequency, fraction) = net.weights["W_out"][0] @ net.weights["W_U"], net.final.best_frequency
    neurons = np.where(fraction >= 0.85, neuron_fits(net)[1], net.post)
    losses = []
    for k in net.frequencies:
        logits = np.where((frequency == k) & (fraction >= 0.85), 0, neurons) @ W_L
        losses.append(cross_entropy(logits + (net.logits - logits).mean((0, 1)), net.labels).mean())
    return losses


def after_interventions(quantity):
    """Return the definition of the mean of a quantity after each intervention: [intervention, 3].

    The means are over training, test and all pairs; they are NaN where the intervention is undefined.
    """

    def table(net):
        rows = []
        for logits in interventions(net).values():
            values = np.full(net.train.shape, np.nan) if logits is None else quantity(logits, net.labels)
            rows.append([values[net.train].mean(), values[net.test].mean(), values.mean()])
        return rows

    return table


def answers_by_embedding(net):
    """Return the answers with the embedding unchanged, reduced to mean and PC 1, and without PC 2: [3, a, b].

    Principal components (PC) are eigenvectors of the covariance of the embedding over numbers. Only the embeddings of a
    and b change.
    """
    embeddings = net.weights["W_E"][: net.n]
    mean = embeddings.mean(0)
    pc_1, pc_2 = np.linalg.eigh((embeddings - mean).T @ (embeddings - mean))[1].T[[-1, -2]]
    projections = {
        "unchanged": lambda row: row,
        "mean and PC 1": lambda row: mean + (row - mean) @ pc_1 * pc_1,
        "all but PC 2": lambda row: row - (row - mean) @ pc_2 * pc_2,
    }
    answers = []
    for project in projections.values():

        def hook(name, value, project=project):
            if name == "hook_embed":
                value = value.clone()
                value[..., :2, :] = torch.as_tensor(np.apply_along_axis(project, -1, value[..., :2, :].numpy()))
            return value

        answers.append(net.logits_with(hook).argmax(-1))
    return answers


@functools.cache
def gradient_cosines(net):
    """Return the cosine between the derivatives of the logit of c by the embeddings of a and b: [triple].

    Derivatives are taken forward, by each dimension of each embedding, for all pairs and outputs at once.
    """
    n, weights = net.n, {name: torch.tensor(w)[None] for name, w in net.all_weights.items()}
    tokens = torch.tensor([[a, b, n] for a in range(n) for b in range(n)])
    embed = weights["W_E"][:, tokens][0][None]
    width = embed.shape[-1]

    def logits(vectors):
        return forward(weights, tokens, lambda name, value: vectors if name == "hook_embed" else value)[0, :, -1]

    def derivative(direction):
        return torch.func.jvp(logits, (embed,), (direction,))[1]

    directions = torch.zeros(2, width, *embed.shape, dtype=embed.dtype)
    for position in (0, 1):
        for dim in range(width):
            directions[position, dim, ..., position, dim] = 1
    derivatives = torch.func.vmap(derivative)(directions.flatten(0, 1)).unflatten(0, (2, width))
    by_a, by_b = derivatives.numpy()  # [dimension, pair, output] each
    a, b, c = np.random.default_rng(0).integers(n, size=(2048, 3)).T
    u, v = by_a[:, a * n + b, c], by_b[:, a * n + b, c]
    return (u * v).sum(0) / np.sqrt((u * u).sum(0)) / np.sqrt((v * v).sum(0))


def langevin_draws(run, weights, train, labels, logits):
    """Return nβ times the increase of the train loss at each draw of each chain, with plain autograd: [chain, draw].

    Args:
        run: settings of the run, with those of the Langevin dynamics.
        weights: weights at which each chain starts.
        train: [a, b], true for training pairs.
        labels: right answers [a, b].
        logits: function of weights with a leading dimension of size 1, and of the training pairs [pair, 2], that returns the
            logits [pair, output].
    """
    settings, train_pairs = run.learning_coefficient, torch.from_numpy(np.argwhere(train))
    right = torch.from_numpy(labels[train])
    n, nbeta = len(right), len(right) / np.log(len(right))
    start = {name: torch.tensor(w) for name, w in weights.items()}
    chains = []
    for chain in range(settings.chains):
        seed = int(np.random.SeedSequence((run.seed, chain)).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(seed)
        w, losses = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}, []
        for _ in range(settings.burn_in + settings.draws + 1):
            log_p = logits({name: tensor[None] for name, tensor in w.items()}, train_pairs).log_softmax(-1)
            loss = -sum(log_p[i, right[i]] for i in range(n)) / n
            losses.append(nbeta * loss.item())
            gradients = torch.autograd.grad(loss, list(w.values()))
            noise = torch.empty(sum(tensor.numel() for tensor in w.values()))  # in float32
            noise = noise.normal_(generator=generator).to(loss.dtype).split([tensor.numel() for tensor in w.values()])
            w = {
                name: (
                    tensor
                    - settings.step_size / 2 * (nbeta * gradient + settings.localization * (tensor - start[name]))
                    + settings.step_size**0.5 * xi.view_as(tensor)
                )
                .detach()
                .requires_grad_()
                for (name, tensor), gradient, xi in zip(w.items(), gradients, noise, strict=True)
            }
        chains.append(np.array(losses[settings.burn_in + 1 :]) - losses[0])
    return np.array(chains)


@functools.cache
def draws_of(net):
    """Return `langevin_draws` of a one-layer network."""

    def logits(weights, train_pairs):
        equals = torch.full_like(train_pairs[:, :1], net.n)
        return forward(weights, torch.cat([train_pairs, equals], 1))[0, :, -1]

    return langevin_draws(net.run, net.all_weights, net.train, net.labels, logits)


def split_rhat(draws):
    """Return the potential scale reduction of chains that are each split into halves."""
    size = draws.shape[1] // 2
    sequences = [half for chain in draws for half in (chain[:size], chain[-size:])]
    within = np.mean([np.var(sequence, ddof=1) for sequence in sequences])
    between = size * np.var([np.mean(sequence) for sequence in sequences], ddof=1)
    return (((size - 1) / size * within + between / size) / within) ** 0.5


def distance_irrelevance(net):
    """Return the mean standard deviation of the correct logit along lines of equal a - b (a + b), over that of all pairs."""
    n = net.n
    correct_logits = {(a, b): net.logits[a, b, net.labels[a, b]] for a in range(n) for b in range(n)}
    lines = [[x for (a, b), x in correct_logits.items() if (a - net.sign * b) % n == d] for d in range(n)]
    return np.mean([np.std(line) for line in lines]) / np.std(list(correct_logits.values()))


def circularity(net):
    """Return the mean over four principal components of the largest fraction of energy at one frequency."""
    embedding = net.weights["W_E"][: net.n]
    centered = embedding - embedding.mean(0)
    largest = []
    for vector in np.linalg.eigh(centered @ centered.T)[1].T[::-1][:4]:  # unit vectors over the operand values
        transform = [sum(x * np.exp(2j * np.pi * k * i / net.n) for i, x in enumerate(vector)) for k in net.frequencies]
        energies = [2 / net.n * abs(z) ** 2 for z in transform]
        if net.n % 2 == 0:  # the sine of the last frequency is 0, and the square of its cosine has the mean 1, not 1/2
            energies[-1] /= 2
        largest.append(max(energies))
    return np.mean(largest)


excluded_losses = by_frequency(lambda net, k: cross_entropy(excluded_logits(net, [k]), net.labels)[net.train].mean())

REFERENCES = {
    # losses
    "loss": lambda net: cross_entropy(net.logits, net.labels).mean(),
    "accuracy": lambda net: correct(net.logits, net.labels).mean(),
    "train_loss": lambda net: cross_entropy(net.logits, net.labels)[net.train].mean(),
    "test_loss": lambda net: cross_entropy(net.logits, net.labels)[net.test].mean(),
    "train_accuracy": lambda net: correct(net.logits, net.labels)[net.train].mean(),
    "test_accuracy": lambda net: correct(net.logits, net.labels)[net.test].mean(),
    "test_accuracy_zero": lambda net: np.mean(
        [net.is_right[a, b] for a, b in np.argwhere(net.test) if a == 0 or b == 0]
    ),
    "test_accuracy_nonzero": lambda net: np.mean([net.is_right[a, b] for a, b in np.argwhere(net.test) if a * b != 0]),
    "restricted_loss": with_key_frequencies(lambda net: cross_entropy(net.restricted_logits, net.labels).mean()),
    "restricted_loss_with_harmonics": with_key_frequencies(
        lambda net: cross_entropy(net.along_directions(net.harmonics) + net.logits.mean((0, 1)), net.labels).mean()
    ),
    "restricted_loss_train": with_key_frequencies(
        lambda net: cross_entropy(net.restricted_logits, net.labels)[net.train].mean()
    ),
    "restricted_loss_test": with_key_frequencies(
        lambda net: cross_entropy(net.restricted_logits, net.labels)[net.test].mean()
    ),
    "restricted_accuracy": with_key_frequencies(lambda net: correct(net.restricted_logits, net.labels).mean()),
    "restricted_accuracy_train": with_key_frequencies(
        lambda net: correct(net.restricted_logits, net.labels)[net.train].mean()
    ),
    "restricted_accuracy_test": with_key_frequencies(
        lambda net: correct(net.restricted_logits, net.labels)[net.test].mean()
    ),
    "excluded_loss": with_key_frequencies(
        lambda net: cross_entropy(excluded_logits(net, net.key_frequencies), net.labels)[net.train].mean()
    ),
    "excluded_accuracy": with_key_frequencies(
        lambda net: correct(excluded_logits(net, net.key_frequencies), net.labels)[net.train].mean()
    ),
    "excluded_loss_by_frequency": excluded_losses,
    "excluded_accuracy_by_frequency": by_frequency(
        lambda net, k: correct(excluded_logits(net, [k]), net.labels)[net.train].mean()
    ),
    "maximal_excluded_loss": lambda net: max(excluded_losses(net)),
    "restricted_loss_neurons": with_key_frequencies(
        lambda net: cross_entropy(net.neuron_logits(net.key_neurons) + net.logits.mean((0, 1)), net.labels)[
            net.test
        ].mean()
    ),
    "excluded_loss_neurons": with_key_frequencies(
        lambda net: cross_entropy(net.without_key_neurons, net.labels)[net.train].mean()
    ),
    # ablations
    "ablated_loss_by_frequency": by_frequency(
        lambda net, k: cross_entropy(net.logits - block(net.logits, [k]), net.labels)[net.test].mean()
    ),
    "ablated_loss_by_frequency_all": by_frequency(
        lambda net, k: cross_entropy(net.logits - block(net.logits, [k]), net.labels).mean()
    ),
    "key_blocks_only_loss": with_key_frequencies(
        lambda net: cross_entropy(block(net.logits, net.key_frequencies) + net.logits.mean((0, 1)), net.labels)[
            net.test
        ].mean()
    ),
    "key_blocks_removed_loss": with_key_frequencies(
        lambda net: cross_entropy(net.logits - block(net.logits, net.key_frequencies), net.labels)[net.test].mean()
    ),
    # weights
    "sum_of_squared_weights": lambda net: sum(x * x for w in net.weights.values() for x in w.ravel()),
    "sum_of_squared_weights_by_parameter": lambda net: [sum(x * x for x in w.ravel()) for w in net.weights.values()],
    "W_E_fourier_norm": lambda net: net.fourier_norms["W_E"],
    "W_L_fourier_norm": lambda net: net.fourier_norms["W_L"],
    "gini_W_E": lambda net: gini(net.fourier_norms["W_E"][: net.n]),
    "gini_W_L": lambda net: gini(net.fourier_norms["W_L"][: net.n]),
    "gini_W_U": lambda net: gini(net.fourier_norms["W_U"][: net.n]),
    "gini_W_E_without_constant": lambda net: gini(net.fourier_norms["W_E"][1 : net.n]),
    "gini_W_L_without_constant": lambda net: gini(net.fourier_norms["W_L"][1 : net.n]),
    "gini_W_E_by_frequency": lambda net: gini(net.frequency_norms("W_E")),
    "gini_W_L_by_frequency": lambda net: gini(net.frequency_norms("W_L")),
    "W_E_large_frequency": lambda net: [
        x >= 0.15 * max(net.frequency_norms("W_E")) for x in net.frequency_norms("W_E")
    ],
    "W_L_large_frequency": lambda net: [
        x >= 0.15 * max(net.frequency_norms("W_L")) for x in net.frequency_norms("W_L")
    ],
    # logits
    "cosine_coefficient": by_frequency(lambda net, k: (net.logits * net.cosines[k - 1]).sum()),
    "logit_norm": lambda net: np.linalg.norm(net.logits),
    "cosine_similarity": by_frequency(
        lambda net, k: (net.logits * net.cosines[k - 1]).sum() / np.linalg.norm(net.logits)
    ),
    "cosine_residual": with_key_frequencies(lambda net: residual(net, net.key_frequencies)),
    "cosine_residual_all": lambda net: residual(net, net.frequencies),
    "logit_fraction_explained_cosines": explained_by_cosines(""),
    "logit_fraction_explained_cosines_centered_over_outputs": explained_by_cosines("outputs"),
    "logit_fraction_explained_cosines_centered_over_pairs": explained_by_cosines("pairs"),
    "logit_fraction_explained_directions": explained_by_directions(""),
    "logit_fraction_explained_directions_centered_over_outputs": explained_by_directions("outputs"),
    "logit_fraction_explained_directions_centered_over_pairs": explained_by_directions("pairs"),
    "logit_fraction_explained_directions_per_output": with_key_frequencies(
        lambda net: np.mean(energy(directions(net.centered, net.key_frequencies, net.sign)) / energy(net.centered))
    ),
    # neurons
    "neuron_frequency": lambda net: net.best_frequency[0],
    "neuron_fraction_explained": lambda net: net.best_frequency[1],
    "neuron_frequency_share": lambda net: net.fractions_explained,
    "key_frequency": lambda net: [k in net.key_frequencies for k in net.frequencies],
    "cluster_size": lambda net: net.cluster_sizes,
    "neuron_pre_fraction_explained_directions": with_key_frequencies(
        lambda net: np.nanmean(fraction_in(net.pre, directions(net.pre, net.key_frequencies, net.sign)))
    ),
    "neuron_post_fraction_explained_directions": with_key_frequencies(
        lambda net: np.nanmean(fraction_in(net.post, directions(net.post, net.key_frequencies, net.sign)))
    ),
    "neuron_share_at_final_frequency": lambda net: at_final_frequency(net, block),
    "neuron_quadratic_share": lambda net: at_final_frequency(net, products),
    "neuron_fraction_active": lambda net: (net.pre > 0).mean((0, 1)),
    "mean_attention": lambda net: net.attention.mean((0, 1)),
    # maps
    "attention_score_token": lambda net: net.contributions["score_token"],
    "attention_score_position": lambda net: net.contributions["score_position"],
    "neuron_value_token": lambda net: net.contributions["value_token"],
    "neuron_value_position": lambda net: net.contributions["value_position"],
    "neuron_offset": lambda net: net.contributions["offset"],
    "moment_attention_score_token": lambda net: net.contributions["score_token"],
    "moment_attention_score_position": lambda net: net.contributions["score_position"],
    "moment_neuron_value_token": lambda net: net.contributions["value_token"][..., net.selected_neurons],
    "moment_neuron_value_position": lambda net: net.contributions["value_position"][..., net.selected_neurons],
    "moment_neuron_offset": lambda net: net.contributions["offset"][net.selected_neurons],
    # heads
    "attention_frequency": lambda net: head_frequencies(net)[0],
    "attention_frequency_share": lambda net: head_frequencies(net)[1].max(0),
    "attention_alpha": lambda net: difference_fits(net)[:, 0],
    "attention_beta": lambda net: difference_fits(net)[:, 1],
    "attention_fit_fraction_explained": lambda net: difference_fits(net)[:, 2],
    "score_fourier_coefficient": scores_along_basis,
    "score_fraction_explained": score_fractions,
    "score_difference_range": lambda net: score_differences(net).max((0, 1)),
    "sigmoid_slope": slopes,
    "sigmoid_linear_fraction_explained": lambda net: [
        explained(net.attention[..., j, 0], linear_attention(net)[..., j]) for j in range(net.attention.shape[2])
    ],
    "sigmoid_linear_fraction_explained_pooled": pooled_line_fraction,
    "sigmoid_deviation": sigmoid_distance,
    "head_complement_deviation": lambda net: [
        [np.abs(net.attention[..., i, 0] + net.attention[..., j, 0] - 1).mean() for j in (0, 1)] for i in (0, 1)
    ],
    "head_output_frequency_share": head_output_fractions,
    "OV_fourier_norm": OV_norms,
    # readout
    "readout_product_coefficient": product_coefficients,
    "readout_coefficient": lambda net: single_wave_fits(net)[..., 0],
    "readout_fraction_explained": lambda net: single_wave_fits(net)[..., 1],
    "W_L_singular_value": singular_values,
    "W_L_fraction_explained": lambda net: (
        1
        - energy((residual_stream := net.logits - net.neuron_logits(net.post)) - residual_stream.mean((0, 1))).sum()
        / energy(net.logits - net.logits.mean((0, 1))).sum()
    ),
    "W_L_fourier": lambda net: net.W_L_of_answers @ basis(net.n).T,
    "cluster_W_L_fourier_norm": cluster_norms,
    # spectra
    "logit_fourier_norm_2d": lambda net: norms_2d(net.logits),
    "moment_logit_fourier_norm_2d": lambda net: norms_2d(net.logits),
    "neuron_fourier_norm_2d": lambda net: norms_2d(net.post),
    "neuron_fit_coefficient": lambda net: neuron_fits(net)[0],
    "W_E": lambda net: net.weights["W_E"],
    "W_U": lambda net: net.weights["W_U"],
    "moment_W_E": lambda net: net.weights["W_E"],
    # algorithm
    "gradient_symmetricity": lambda net: gradient_cosines(net).mean(),
    "gradient_symmetricity_error": lambda net: gradient_cosines(net).std(ddof=1) / np.sqrt(2048),
    "distance_irrelevance": distance_irrelevance,
    "circularity": circularity,
    "learning_coefficient": lambda net: draws_of(net).mean(),
    "learning_coefficient_error": lambda net: np.std(draws_of(net).mean(1), ddof=1) / len(draws_of(net)) ** 0.5,
    "learning_coefficient_rhat": lambda net: split_rhat(draws_of(net)),
    # integers
    "answer_by_embedding": answers_by_embedding,
    "mean_attention_by_query": lambda net: net.pattern.mean(0),
    # interventions
    "intervention_loss": after_interventions(cross_entropy),
    "intervention_accuracy": after_interventions(correct),
    "cluster_removed_loss": cluster_removed_losses,
}
"""The definition of every measure, by name: a function of a `Network`."""

NEED_KEY_FREQUENCIES = [
    *("restricted_loss", "restricted_loss_train", "restricted_loss_test", "restricted_loss_neurons"),
    "restricted_loss_with_harmonics",
    *("restricted_accuracy", "restricted_accuracy_train", "restricted_accuracy_test"),
    *("excluded_loss", "excluded_accuracy", "excluded_loss_neurons", "key_blocks_only_loss", "key_blocks_removed_loss"),
    "cosine_residual",
    *(name for name in REFERENCES if name.startswith("logit_fraction_explained")),
    *("neuron_pre_fraction_explained_directions", "neuron_post_fraction_explained_directions"),
]
"""The measures that are NaN for a network without key frequencies."""
