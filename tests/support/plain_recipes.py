"""Recipes in plain torch: one run, one tensor at a time, autograd, torch's own optimizers where it has them."""

import math
from collections import deque

import numpy as np
import torch
from torch.nn import functional

from progress_measures.experiments.derived import train_mask
from progress_measures.models.initialize import initial_weights
from progress_measures.models.transformer import forward

HEADS = ("W_Q", "W_K", "W_V")


def plain_weights(run, updates, monkeypatch):
    """Train a one-layer network on pairs in float64 and return its weights, without the dimension `run`.

    Args:
        run: settings of the run.
        updates: number of updates.
        monkeypatch: lets torch's Muon orthogonalize in float64; by itself, it does so in bfloat16.
    """
    monkeypatch.setattr(torch, "bfloat16", torch.float64)
    recipe = run.training
    scale = run.model.initial_scale
    start = {name: tensor.double() for name, tensor in initial_weights(run).items()}
    unscaled = initial_weights(run.model_copy(update={"model": run.model.model_copy(update={"initial_scale": 1.0})}))
    assert all(torch.allclose(start[name], scale * tensor.double()) for name, tensor in unscaled.items())
    # Muon takes matrices [output, input]; all other tensors are parameters as they are
    matrices = {name: _matrix(name, start[name]) for name in ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_out")}
    parameters = {name: matrices.get(name, tensor).clone().requires_grad_() for name, tensor in start.items()}
    optimizers = _optimizers(recipe, parameters, list(matrices))
    norm = torch.cat([tensor.flatten() for tensor in parameters.values()]).norm().item()
    norm = norm if recipe.fixed_norm == "initial" else recipe.fixed_norm
    slow, last = {}, {name: deque(maxlen=recipe.grokfast_window) for name in parameters}
    for update in range(updates):
        tensors = {
            name: _tensor(name, value, start) if name in matrices else value for name, value in parameters.items()
        }
        for parameter in parameters.values():
            parameter.grad = None
        _loss(run, {name: tensor[None] for name, tensor in tensors.items()}, update).backward()
        for name, parameter in parameters.items():
            _filter(recipe, parameter, name, slow, last)
        if recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters.values(), recipe.clip_norm)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                warmup = min(update / recipe.warmup, 1) if recipe.warmup else 1
                group["lr"] = (
                    group["full_rate"] * warmup * _factor(recipe.learning_rate_schedule, update, recipe.epochs)
                )
                decay = _factor(recipe.weight_decay_schedule, update, recipe.epochs)
                group["weight_decay"] = recipe.weight_decay * decay
            optimizer.step()
        if norm is not None:
            with torch.no_grad():
                now = math.sqrt(sum(parameter.square().sum().item() for parameter in parameters.values()))
                for parameter in parameters.values():
                    parameter.mul_(norm / now)
    return {
        name: (_tensor(name, value, start) if name in matrices else value).detach()
        for name, value in parameters.items()
    }


def _matrix(name, tensor):
    """Return a tensor of one layer as a matrix [output, input]; heads are side by side."""
    tensor = tensor[0]
    if name in HEADS:
        return torch.cat([head.T for head in tensor])
    return torch.cat(list(tensor)).T if name == "W_O" else tensor.T


def _tensor(name, matrix, start):
    """Return a matrix [output, input] as the tensor that it came from."""
    shape = start[name].shape
    if name in HEADS:
        return torch.stack([head.T for head in matrix.split(shape[-1])])[None]
    return torch.stack(matrix.T.split(shape[-2]))[None] if name == "W_O" else matrix.T[None]


def _optimizers(recipe, parameters, matrices):
    hidden = [{"params": [parameters[name] for name in matrices], "full_rate": recipe.learning_rate}]
    rest = [tensor for name, tensor in parameters.items() if name not in matrices]
    others = [{"params": rest, "full_rate": recipe.adamw_learning_rate or recipe.learning_rate}]
    betas, momentum = recipe.betas, recipe.momentum
    if recipe.optimizer == "adamw":
        return [torch.optim.AdamW(hidden + others, betas=betas, eps=recipe.adam_epsilon)]
    if recipe.optimizer == "adam":
        return [torch.optim.Adam(hidden + others, betas=betas, eps=recipe.adam_epsilon)]
    if recipe.optimizer == "sgd":
        return [torch.optim.SGD(hidden + others, momentum=0.9 if momentum is None else momentum)]
    if recipe.optimizer == "lion":
        return [PlainLion(hidden + others, {"betas": betas})]
    muon = torch.optim.Muon(hidden, momentum=0.95 if momentum is None else momentum)
    return [muon, torch.optim.AdamW(others, betas=betas, eps=recipe.adam_epsilon)]


class PlainLion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al. 2023, line by line."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for theta in group["params"]:
                m = self.state[theta].setdefault("m", torch.zeros_like(theta))
                c = beta1 * m + (1 - beta1) * theta.grad
                theta -= group["lr"] * (torch.sign(c) + group["weight_decay"] * theta)
                self.state[theta]["m"] = beta2 * m + (1 - beta2) * theta.grad


def _filter(recipe, parameter, name, slow, last):
    g = parameter.grad
    if recipe.gradient_filter == "grokfast_ema":
        slow[name] = recipe.grokfast_decay * slow.get(name, g) + (1 - recipe.grokfast_decay) * g
        parameter.grad = g + recipe.grokfast_factor * slow[name]
    if recipe.gradient_filter == "grokfast_ma":
        last[name].append(g)
        if len(last[name]) == recipe.grokfast_window:
            parameter.grad = g + recipe.grokfast_factor * sum(last[name]) / recipe.grokfast_window
    if recipe.gradient_filter == "orthograd" and parameter.norm() > 0:
        w = parameter.detach()
        along = (w * g).sum() / (w * w).sum() * w
        parameter.grad = (g - along) * g.norm() / (g - along).norm()


def _factor(schedule, update, epochs):
    last = schedule.updates or epochs
    if schedule.shape == "linear":
        return np.interp(update, [0, last], [1, schedule.final])
    if schedule.shape == "cosine":
        return schedule.final + (1 - schedule.final) * math.cos(math.pi / 2 * min(update, last) / last) ** 2
    value = 1
    for begin, factor in schedule.points:
        value = factor if update >= begin else value
    return value


def noisy_labels(run):
    """Return the labels [a, b] of the training pairs, with the run's label noise."""
    mask, labels = train_mask(run), run.task.label_table().copy()
    rng = np.random.default_rng((run.split_seed, 1))
    pairs = rng.permutation(np.flatnonzero(mask))
    shifts = rng.integers(1, run.task.sizes.outputs, len(pairs))
    for pair, shift in list(zip(pairs, shifts, strict=True))[: round(run.split.label_noise * mask.sum())]:
        labels[divmod(pair, len(labels))] += shift
    return labels % run.task.sizes.outputs


def _loss(run, weights, update):
    recipe, n = run.training, run.task.sizes.operand_count
    a, b = train_mask(run).nonzero()
    labels = torch.from_numpy(noisy_labels(run)[a, b])
    tokens = torch.from_numpy(np.stack([a, b, np.full_like(a, n)], 1))
    if recipe.batch:
        epoch, part = divmod(update, len(tokens) // recipe.batch)
        order = np.random.default_rng((run.split_seed, epoch)).permutation(len(tokens))
        chosen = order[part * recipe.batch :][: recipe.batch]
        tokens, labels = tokens[chosen], labels[chosen]
    logits = forward(weights, tokens)[0, :, -1]
    return plain_loss(recipe, logits, labels)


def plain_loss(recipe, logits, labels):
    """Return the loss of a recipe for logits [example, output] and labels [example]."""
    target = functional.one_hot(labels, logits.shape[1]) * (1 - recipe.label_smoothing)
    target = target + recipe.label_smoothing / logits.shape[1]
    if recipe.loss == "mse":
        return functional.mse_loss(logits, target)
    if recipe.loss == "stablemax":
        s = torch.where(logits >= 0, logits + 1, 1 / (1 - logits.clamp_max(0)))
        return -(target * (s / s.sum(1, keepdim=True)).log()).sum(1).mean()
    return functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
