"""The Recorder: its measures are those of an import of the same checkpoints, and networks in training are left as they were."""

import time

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from progress_measures import Recorder, open_cube, open_run
from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.importing.callables import CallableNetwork
from progress_measures.importing.import_network import import_network
from progress_measures.importing.operations import task_of_operation
from progress_measures.importing.settings import Options
from progress_measures.measures import measures
from progress_measures.measures.algorithm import mean_cosine
from progress_measures.models.design import Design
from progress_measures.models.network import answer_logits
from support.checkpoints import checkpoint_and_definitions
from support.experiments import P
from support.networks import KEYS, random_mask

N = 11
EPOCHS = (0, 20, 40)

FORWARD = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 8)
        self.hidden = nn.Linear(16, 24)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(24, 11)

    def forward(self, tokens):
        return self.out(self.drop(torch.relu(self.hidden(self.embed(tokens[:, :2]).flatten(1)))))

def build(weights):
    network = Small()
    network.load_state_dict(weights)
    return network
"""
names: dict[str, type[nn.Module]] = {}
exec(FORWARD, names)
Small = names["Small"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small(seed=0):
    """Return a network with dropout in evaluation mode."""
    torch.manual_seed(seed)
    return Small().eval()


def trained_a_little(network, mask):
    """Yield each epoch in `EPOCHS` while a network trains on a + b mod 11."""
    pairs = torch.cartesian_prod(torch.arange(N), torch.arange(N))
    train = torch.from_numpy(mask.ravel())
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for epoch in range(max(EPOCHS) + 1):
        if epoch in EPOCHS:
            yield epoch
        loss = nn.functional.cross_entropy(network(pairs[train]), pairs[train].sum(1) % N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def recorder(**options):
    return Recorder(**{"operation": "a+b", "modulus": N, "train": random_mask(N), "tokens": "a b"} | options)


# ---- measures


def test_cube_equals_that_of_an_import_of_the_same_checkpoints(folder):
    network, mask = small(), random_mask(N)
    recorded, states, values = recorder(), {}, []
    for epoch in trained_a_little(network, mask):
        values.append(recorded.record(network, epoch))
        states[epoch] = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    recorded.save("results/mine")
    torch.save(states, "theirs.pt")
    (folder / "net.py").write_text(FORWARD)
    np.save("split.npy", np.flatnonzero(mask))
    options = Options(
        forward="net.py:build",
        operation="a+b",
        tokens="a b",
        split="split.npy",
        precision="float32",
        accept_doubtful=True,
    )
    import_network(folder / "theirs.pt", folder / "results/theirs", options)
    mine, theirs = open_cube("mine").load(), open_cube("theirs").load()
    assert set(mine.data_vars) == set(theirs.data_vars)
    assert {"excluded_loss", "cosine_coefficient", "gradient_symmetricity", "key_frequency", "loss"} <= set(
        mine.data_vars
    )
    for name in mine.data_vars:
        xr.testing.assert_equal(mine[name].variable, theirs[name].variable)
    assert mine.epoch.values.tolist() == list(EPOCHS)
    last = values[-1]
    for name in last.data_vars:  # key frequencies are those of the last checkpoint in both
        np.testing.assert_array_equal(last[name], mine[name].sel(run="imported", epoch=40), name)


def test_measures_are_those_of_a_network_of_ours(folder):
    own = [checkpoint_and_definitions("modular_addition", state)[0] for state in ("earlier", "solving")]
    assert own[1].context.key_frequencies.tolist() == list(KEYS)

    def network(weights):
        tensors = {name: torch.from_numpy(tensor)[None] for name, tensor in weights.items()}
        return lambda tokens: answer_logits(tensors, tokens, 2, Design())[0]

    recorded = Recorder(operation="a+b", modulus=P, train=random_mask(P))
    for epoch, checkpoint in zip((50, 100), own, strict=True):
        recorded.record(network(checkpoint.stored), epoch)
    recorded.save("results/mine")
    cube = open_cube("mine").load().sel(run="imported")
    assert cube.frequency.values[cube.key_frequency].tolist() == list(KEYS)
    assert "the logits" in cube.attrs["key_frequency_rule"]  # the neurons are unknown
    assert "key_cluster_fraction" not in cube.attrs
    compared = [m for m in measures().values() if m.name in cube and "epoch" in m.dims and m.family != "phases"]
    names = {measure.name for measure in compared}
    assert {"train_loss", "test_loss", "restricted_loss", "excluded_loss", "cosine_coefficient", "logit_norm"} <= names
    for measure in compared:
        for epoch, checkpoint in zip((50, 100), own, strict=True):
            value = measure.function(measure.in_required_order(checkpoint))
            np.testing.assert_allclose(
                cube[measure.name].sel(epoch=epoch), value, rtol=1e-5, atol=1e-7, err_msg=measure.name
            )


def test_measures_of_the_published_mainline_network_are_those_of_its_cube(capsys):
    torch.set_num_threads(1)
    run = open_run("mainline", run="seed0", published=True)
    cube = open_cube("mainline", published=True).sel(run="seed0")
    recorded = Recorder(operation="a+b", modulus=113, train=train_mask(run.settings))
    seconds = []
    for epoch in (4300, 40000):
        network = run.transformer_lens(epoch)
        start = time.process_time()
        measured = recorded.record(network, epoch)
        seconds.append(time.process_time() - start)
        common = [name for name in measured.data_vars if name in cube]
        assert {"train_loss", "test_loss", "restricted_loss", "excluded_loss", "cosine_residual"} <= set(common)
        for name in common:
            expected = float(cube[name].sel(epoch=epoch))
            assert float(measured[name]) == pytest.approx(expected, rel=1e-4), (name, epoch)
        assert -1 < measured.gradient_symmetricity < 1
    tokens = torch.tensor([[a, b, 113] for a in range(113) for b in range(113)])
    start = time.process_time()
    with torch.no_grad():
        network(tokens)
    forward = time.process_time() - start
    with capsys.disabled():
        print(f"\none record: {min(seconds):.2f} s of CPU time, of which the network's own logits {forward:.2f} s")


def test_unknown_training_pairs_leave_measures_over_all_pairs(folder):
    recorded = recorder(train=None)
    measured = recorded.record(small(), 0)
    assert {"loss", "accuracy", "logit_norm", "gradient_symmetricity"} <= set(measured.data_vars)
    assert not {"train_loss", "test_loss", "excluded_loss"} & set(measured.data_vars)
    recorded.save("results/mine")
    cube = open_cube("mine")
    assert "train_loss" not in cube
    assert np.isnan(cube.train_fraction.item())
    pairs = torch.cartesian_prod(torch.arange(N), torch.arange(N))
    with torch.no_grad():
        loss = nn.functional.cross_entropy(small()(pairs), pairs.sum(1) % N)
    assert float(measured.loss) == pytest.approx(float(loss), rel=1e-5)


def test_mask_may_be_flat_or_a_tensor():
    values = [
        recorder(train=form(random_mask(N))).record(small(), 0) for form in (np.ravel, torch.from_numpy, np.asarray)
    ]
    for other in values[1:]:
        xr.testing.assert_identical(values[0], other)


def test_other_epochs_than_every_are_ignored_without_a_call(folder):
    recorded, network = recorder(every=20), small()
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    for epoch in range(1, 20):
        assert recorded.record(network, epoch) is None
    assert not calls
    for epoch in np.arange(20, 61, 20):
        assert recorded.record(network, epoch).epoch == epoch
    recorded.save("results/mine")
    assert open_cube("mine").epoch.values.tolist() == [20, 40, 60]


def test_neurons_are_measured(folder):
    class WithNeurons(Small):
        def forward(self, tokens):
            neurons = torch.relu(self.hidden(self.embed(tokens[:, :2]).flatten(1)))
            by_position = neurons[:, None] * torch.tensor([0.0, 0, 1])[:, None]  # they are read at the last position
            return self.out(neurons), {"neurons": by_position}

    torch.manual_seed(0)
    network = WithNeurons()
    recorded = recorder(tokens="a b =")
    recorded.record(network, 0)
    recorded.save("results/mine")
    cube = open_cube("mine")
    assert cube.sizes["neuron"] == 24
    assert cube.d_mlp.item() == 24
    pairs = torch.cartesian_prod(torch.arange(N), torch.arange(N))
    with torch.no_grad():
        neurons = torch.relu(network.hidden(network.embed(pairs).flatten(1))).numpy()
    share = cube.neuron_share_at_final_frequency.isel(epoch=0)
    assert np.isnan(share.sel(activation="pre")).all()
    assert (share.sel(activation="post") > 0).all()
    stored = xr.open_zarr("results/mine/runs/imported/checkpoints.zarr", consolidated=False).neurons[0]
    np.testing.assert_allclose(stored, neurons, rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match=r"epoch 10: expected neurons \[121, 24\], as at epoch 0; found none"):
        recorded.record(small(), 10)


@pytest.mark.parametrize(
    ("operation", "n", "outputs"), [("sum", 6, 12), ("a^2 + a*b", 7, 7), ("s3", 6, 6), ("a+b", 8, 9)]
)
def test_other_operations(operation, n, outputs, folder):
    torch.manual_seed(0)
    table = torch.randn(n * n, outputs)
    recorded = Recorder(operation=operation, modulus=n, train=random_mask(n), tokens="b a")
    measured = recorded.record(lambda tokens: table[tokens[:, 1] * n + tokens[:, 0]], 0)
    labels = torch.from_numpy(task_of_operation(operation, n, outputs, "a b", "last").label_table().ravel())
    expected = nn.functional.cross_entropy(table, labels)
    assert float(measured.loss) == pytest.approx(float(expected), rel=1e-5)
    recorded.save("results/mine")
    assert open_cube("mine").loss.item() == pytest.approx(float(expected), rel=1e-5)


def test_table_may_have_more_answers_than_operands(folder):
    np.savetxt("table.csv", np.add.outer(np.arange(5), np.arange(5)), "%d", ",")
    right = Recorder(operation="table.csv", modulus=5).record(
        lambda tokens: nn.functional.one_hot(tokens[:, :2].sum(1), 9).float(), 0
    )
    assert float(right.accuracy) == 1
    with pytest.raises(UserError, match="integers from 0 to 7"):
        Recorder(operation="table.csv", modulus=5).record(lambda tokens: torch.zeros(len(tokens), 8), 0)


def test_logits_of_low_precision_are_measured_in_float32():
    network = small()
    expected = recorder().record(lambda tokens: network(tokens).bfloat16().float(), 0)
    measured = recorder().record(lambda tokens: network(tokens).bfloat16(), 0)
    xr.testing.assert_identical(measured, expected)


# ---- the network is left as it was


def test_dropout_is_off_while_measured_and_every_module_returns_to_its_mode():
    network = small()
    expected = recorder().record(network, 0)
    network.train()
    network.hidden.eval()  # a part that its owner froze
    measured = recorder().record(network, 0)
    xr.testing.assert_identical(measured, expected)
    modes = {name: module.training for name, module in network.named_modules()}
    assert modes == {"": True, "embed": True, "hidden": False, "drop": True, "out": True}
    network.eval()
    network.drop.train()
    xr.testing.assert_identical(recorder().record(network, 0), expected)
    assert network.drop.training
    assert not network.training


def test_network_returns_to_training_mode_after_an_error():
    network = small().train()
    network.out.weight.data[0, 0] = torch.nan
    with pytest.raises(UserError, match="some logits are not finite"):
        recorder().record(network, 0)
    assert network.drop.training


def test_transformer_lens_network_returns_to_training_mode():
    network = open_run("mainline", published=True).transformer_lens()
    network.train()
    with pytest.raises(UserError, match="expected 200 outputs or more, found 113"):
        Recorder(operation="a+b", modulus=200, tokens="a b").record(network, 0)
    task = task_of_operation("a+b", 20, 113, "a b 113", "last")
    CallableNetwork(network, task, "test").activations()
    assert network.training
    assert network.original_model.training


def test_training_is_the_same_with_a_recorder():
    def weights(recorded):
        network, mask = small().train(), random_mask(N)
        for parameter in network.embed.parameters():
            parameter.requires_grad_(False)
        for epoch in trained_a_little(network, mask):
            if recorded is not None:
                before = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
                recorded.record(network, epoch)
                for old, parameter in zip(before, network.parameters(), strict=True):
                    assert (old is None) == (parameter.grad is None)
                    assert old is None or torch.equal(old, parameter.grad)
        assert not network.embed.weight.requires_grad
        return network.state_dict()

    alone, watched = weights(None), weights(recorder())
    for name, tensor in alone.items():
        assert torch.equal(tensor, watched[name]), name


# ---- gradients


class Table(nn.Module):
    """A network whose embedding is a parameter, without a module of its own."""

    def __init__(self, network):
        super().__init__()
        self.table = nn.Parameter(network.embed.weight.detach().clone(), requires_grad=False)
        self.hidden, self.out = network.hidden, network.out

    def forward(self, tokens):
        return self.out(torch.relu(self.hidden(self.table[tokens[:, :2]].flatten(1))))


def test_gradients_of_a_module_a_table_and_a_function_agree():
    network, mask = small(3), random_mask(N)
    for _ in trained_a_little(network, mask):
        pass
    task = task_of_operation("a+b", N, N, "a b", "last")
    tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    def function(tokens):
        x = tensors["embed.weight"][tokens[:, :2]].flatten(1)
        hidden = torch.relu(x @ tensors["hidden.weight"].T + tensors["hidden.bias"])
        return hidden @ tensors["out.weight"].T + tensors["out.bias"]

    table = Table(network)
    cosines = [
        CallableNetwork(candidate, task, "test", known).activations()["gradient_cosines"]
        for candidate, known in ((network, None), (table, None), (function, tensors))
    ]
    assert all(len(values) >= 2000 for values in cosines)
    np.testing.assert_allclose(cosines[1], cosines[2], atol=1e-5)
    assert not table.table.requires_grad
    assert not tensors["embed.weight"].requires_grad
    (module, module_error), (by_table, table_error) = map(mean_cosine, cosines[:2])
    assert abs(module - by_table) < 4 * np.hypot(module_error, table_error)
    measured = recorder().record(network, 0)
    assert float(measured.gradient_symmetricity) == pytest.approx(module, abs=1e-6)
    assert float(recorder().record(table, 0).gradient_symmetricity) == pytest.approx(by_table, abs=1e-6)
    assert "gradient_symmetricity" not in recorder().record(function, 0)


def test_cosines_of_a_module_are_those_of_each_triple():
    network = small(3)
    task = task_of_operation("a+b", N, N, "a b", "last")
    cosines = CallableNetwork(network, task, "test").activations()["gradient_cosines"]
    triples = np.random.default_rng(0).integers(N, size=(2048, 3))
    for (a, b, c), cosine in zip(triples[:20], cosines[:20], strict=True):
        vectors = network.embed.weight[[a, b]].detach().clone().requires_grad_()
        network.out(torch.relu(network.hidden(vectors.flatten())))[c].backward()
        expected = nn.functional.cosine_similarity(vectors.grad[0], vectors.grad[1], dim=0)
        assert cosine == pytest.approx(float(expected), abs=1e-5)


def test_network_without_gradients_has_none():
    network = small()
    network.forward = torch.no_grad()(network.forward)
    assert "gradient_symmetricity" not in recorder().record(network, 0)


def test_recording_within_inference_mode():
    network = small()
    expected = recorder().record(network, 0)
    with torch.inference_mode():
        xr.testing.assert_identical(recorder().record(network, 0), expected)


# ---- mistakes


WRONG = {
    "too few outputs": (lambda t: torch.zeros(len(t), 5), "expected 11 outputs or more, found 5"),
    "a loss": (lambda t: torch.tensor(1.0), "expected logits .*, found a single number"),
    "no tensor": (lambda t: "logits", "expected logits as a floating-point tensor, found str"),
    "answers": (lambda t: t.sum(1), "found a tensor of torch.int64"),
    "one example": (lambda t: torch.zeros(1, 11), r"with 11 outputs or more, found the shape \[1, 11\]"),
    "more positions": (lambda t: torch.zeros(len(t), 4, 11), r"found the shape \[121, 4, 11\]"),
    "infinite": (lambda t: torch.full((len(t), 11), torch.inf), "some logits are not finite"),
    "NaN": (lambda t: torch.full((len(t), 11), torch.nan), "some logits are not finite"),
    "list of neurons": (lambda t: (torch.zeros(len(t), 11), {"neurons": [1]}), "neurons: expected a tensor"),
    "other neurons": (lambda t: (torch.zeros(len(t), 11), {"neurons": torch.zeros(3, 4)}), r"found \[3, 4\]"),
    "NaN neurons": (
        lambda t: (torch.zeros(len(t), 11), {"neurons": torch.full((len(t), 4), torch.nan)}),
        "neurons are not",
    ),
    "error": (lambda t: 1 / 0, "the network raised ZeroDivisionError: division by zero"),
    "tokens": (lambda t: nn.Embedding(5, 11)(t), "the network raised IndexError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_network_is_an_error_that_names_the_epoch_and_nothing_is_recorded(name):
    function, message = WRONG[name]
    recorded = recorder()
    with pytest.raises(UserError, match=message) as error:
        recorded.record(function, 7)
    assert "Recorder, epoch 7: " in str(error.value)
    with pytest.raises(UserError, match="nothing is recorded"):
        recorded.save("results/mine")
    recorded.record(small(), 7)


def test_other_number_of_outputs_at_a_later_checkpoint_is_an_error():
    recorded = recorder()
    recorded.record(small(), 0)
    with pytest.raises(UserError, match=r"epoch 5: expected logits \[121, 11\], as at epoch 0; found \[121, 12\]"):
        recorded.record(lambda tokens: torch.zeros(len(tokens), 12), 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operation": "a?b"}, "^operation a\\?b"),
        ({"modulus": 2}, "modulus|prime|greater"),
        ({"every": 0}, "every=0: expected"),
        ({"tokens": "a ="}, "`b` must occur once"),
        ({"read": 3}, "`read` \\(3\\)"),
        ({"train": np.ones((N, N), dtype=bool)}, "some training pairs and some test pairs"),
        ({"train": np.zeros((N, N), dtype=bool)}, "some training pairs and some test pairs"),
        ({"train": np.arange(50)}, "expected a mask of True and False with 11 x 11 entries"),
        ({"operation": "s5", "modulus": 7}, "120 operand values; the network has 7"),
    ],
)
def test_wrong_argument_is_an_error(options, message):
    with pytest.raises(UserError, match=message):
        recorder(**options)


def test_epochs_ascend_from_0(folder):
    recorded = recorder()
    with pytest.raises(UserError, match="epoch -1: expected a number of updates from 0"):
        recorded.record(small(), -1)
    recorded.record(small(), 10)
    for epoch in (10, 5):
        with pytest.raises(UserError, match=f"epoch {epoch}: expected an epoch after 10"):
            recorded.record(small(), epoch)


def test_cube_replaces_an_earlier_recording_and_nothing_else(folder):
    recorded = recorder()
    recorded.record(small(), 10)
    recorded.save("results/mine")
    recorded.record(small(1), 20)
    recorded.save("results/mine")
    assert open_cube("mine").epoch.values.tolist() == [10, 20]
    (folder / "results/other").mkdir()
    with pytest.raises(UserError, match="was not written by an import"):
        recorded.save("results/other")
    with pytest.raises(UserError, match="expected results/<name>"):
        recorded.save("results/Not A Name")
