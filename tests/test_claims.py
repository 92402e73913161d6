"""Claims: completeness, rules, verdicts, and claims without runs."""

import functools
import json
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
import yaml

from progress_measures.analysis.select import keep_only
from progress_measures.claims import claims_page, load_claims
from progress_measures.claims.judge import (
    CANNOT_BE_JUDGED,
    DIFFERS,
    HOLDS,
    HOLDS_IN_SOME,
    NOT_DISCRIMINATING,
    NOT_RUN,
    RECORDED,
    VERDICTS,
    holds,
    judge,
    judge_all,
)
from progress_measures.claims.registry import Quantity, load_quantity, quantities
from progress_measures.claims.schema import Claim, Condition, Population, load_populations
from progress_measures.claims.schema import load_claims as load
from progress_measures.cube.from_weights import measures_of_last_weights
from progress_measures.cube.open import cube_if_any, open_cube
from progress_measures.errors import UserError
from progress_measures.experiments import experiment_names
from progress_measures.measures import measures
from progress_measures.training.objectives import EVALUATED_QUANTITIES
from support.processes import command

ROOT = Path(__file__).parents[1]
CLAIMS = load_claims()
published = functools.cache(lambda name: cube_if_any(name, published=True))


@pytest.fixture(scope="module")
def judgments():
    maps_of = functools.partial(measures_of_last_weights, published=True)
    return dict(zip(CLAIMS, judge_all(list(CLAIMS.values()), published, maps_of), strict=True))


def test_claims_are_complete():
    assert len(CLAIMS) == 337
    kinds = Counter(claim.kind for claim in CLAIMS.values())
    assert kinds["contradiction"] == 63
    assert {claim.source for claim in CLAIMS.values()} == {
        "paper", "subtraction", "integer_addition", "demo", "mod_addition", "beyond", "accelerators",
    }  # fmt: skip


def test_every_named_quantity_exists_and_every_quantity_is_used():
    named = {claim.quantity for claim in CLAIMS.values() if claim.quantity}
    for name in named:
        load_quantity(name)
    assert named == set(quantities())


def test_every_quantity_has_a_description():
    for quantity in quantities().values():
        assert quantity.function.__doc__, quantity.name


def test_every_declared_variable_is_one_of_a_cube():
    known = set(measures()) | {f"history_{name}" for name in (*EVALUATED_QUANTITIES, "train_loss_max")}
    for quantity in quantities().values():
        assert set(quantity.variables) <= known, quantity.name
        assert len(set(quantity.variables)) == len(quantity.variables), quantity.name


def judged_by(quantity):
    """Return the claims about a quantity, and those of them whose cubes are all published."""
    claims = [claim for claim in CLAIMS.values() if claim.quantity == quantity.name]
    return claims, [claim for claim in claims if all(published(name) is not None for name in claim.cubes)]


def arguments(quantity):
    """Return the cubes of each claim about a quantity, with the variables that it declares.

    The mainline takes the place of cubes that are not published, if no claim about the quantity has all its cubes. Claims
    about the same runs of the same cubes count once.
    """
    claims, judged = judged_by(quantity)
    distinct = {(tuple(claim.cubes), tuple(claim.runs or ())): claim for claim in judged or claims[:1]}
    for claim in distinct.values():
        cubes = [published(name if claim in judged else "mainline") for name in claim.cubes]
        if claim.runs and claim in judged:
            cubes[0] = cubes[0].isel(run=claim.runs)
        yield [keep_only(cube, quantity.variables).load() for cube in cubes]


def outcome(quantity, cubes):
    """Return the values of a quantity, or the type of the error if it needs another variable."""
    try:
        return {name: np.asarray(value).tolist() for name, value in quantity.function(*cubes).items()}
    except (AttributeError, KeyError) as error:
        return type(error)


@pytest.mark.parametrize("name", quantities())
def test_every_declared_variable_is_needed_and_no_other(name):
    quantity = load_quantity(name)
    unneeded = set(quantity.variables)
    for cubes in arguments(quantity):
        whole = outcome(quantity, cubes)
        assert isinstance(whole, dict), "the quantity reads a variable that it does not declare"
        for variable in list(unneeded):
            without = outcome(quantity, [cube.drop_vars(variable) for cube in cubes])
            if repr(without) != repr(whole):
                unneeded.remove(variable)
    if judged_by(quantity)[1]:  # other networks than those of its claims may not need all variables
        assert not unneeded


@pytest.mark.parametrize("name", [name for name, claim in CLAIMS.items() if claim.quantity])
def test_conditions_refer_to_values_that_the_quantity_returns(name, judgments):
    claim, judged = CLAIMS[name], judgments[name]
    if all(published(experiment) is not None for experiment in claim.cubes):
        assert judged.measured
        if not judged.incomplete:  # a recipe without runs has no values
            assert {condition.value for condition in claim.accept} <= set(judged.measured)


def test_every_verdict_is_known(judgments):
    assert {judgment.verdict for judgment in judgments.values()} <= set(VERDICTS)
    for name, judgment in judgments.items():
        has_requirement = any(condition.relation != "reported" for condition in CLAIMS[name].accept)
        recorded = CLAIMS[name].kind == "contradiction" or (judgment.measured and not has_requirement)
        assert (judgment.verdict == RECORDED) == bool(recorded)


def test_no_claim_holds_whose_rule_also_holds_of_a_control(judgments):
    """Unless its entry says why; and no entry gives a reason that its controls do not need."""
    for name, judgment in judgments.items():
        if judgment.verdict == HOLDS:
            assert bool(judgment.passing_controls) == bool(CLAIMS[name].passes_on_controls), name
        elif CLAIMS[name].passes_on_controls:
            assert judgment.passing_controls, name


def test_claims_about_the_mainline_are_judged_on_ten_networks_and_six_controls(judgments):
    judgment = judgments["paper.s1.ablate_key_to_chance"]
    assert (judgment.holding, len(judgment.networks)) == (10, 10)
    assert {outcome.cube for outcome in judgment.networks} == {"mainline", "prime_109"}
    assert judgment.authors.holds
    assert [outcome.holds for outcome in judgment.controls] == [False] * 6


def test_network_with_one_checkpoint_has_no_curves(judgments):
    """The authors' network has its loss curves, but no measure over training."""
    assert judgments["paper.s4.WL_rank10"].authors.holds is not None
    for name in ("paper.fig7.restricted_leads", "blog.weight_3_5", "blog.embed_two_early", "blog.self_attn_100"):
        assert judgments[name].networks
        assert judgments[name].authors.holds is None


def test_every_claim_names_an_experiment_that_exists():
    assert {claim.experiment for claim in CLAIMS.values()} <= set(experiment_names())


def test_populations_name_cubes_of_experiments():
    names = {path.stem for path in (ROOT / "config/experiments").glob("*.yaml")}
    for name, population in load_populations().items():
        assert {name, *population.networks, *population.controls} <= names
        assert population.authors is None or published(population.authors) is not None


@pytest.mark.parametrize(
    "experiment",
    ["mainline", "subtraction", "integer_addition", "transformer_lens_demo"],
)
def test_every_claim_about_an_experiment_with_a_cube_is_judged(judgments, experiment):
    left = [
        name
        for name, judgment in judgments.items()
        if CLAIMS[name].experiment == experiment and judgment.verdict == NOT_RUN
    ]
    assert left == []


def test_claims_about_experiments_without_a_cube_are_not_judged(judgments):
    for name, judgment in judgments.items():
        if any(published(experiment) is None for experiment in CLAIMS[name].cubes):
            assert judgment.verdict in (NOT_RUN, RECORDED)


def test_every_difference_has_an_explanation(judgments):
    for name, judgment in judgments.items():
        if judgment.verdict == DIFFERS:
            assert CLAIMS[name].explanation, name
            assert len(judgment.explanation) > 60
        if judgment.verdict in (DIFFERS, HOLDS_IN_SOME) or judgment.failed:
            assert "{" not in judgment.explanation
        else:
            assert judgment.explanation == ""


def judged_on(cube, experiment):
    """Return the claims about an experiment, judged on a cube in place of all cubes that they read, by name."""
    claims = {name: claim for name, claim in CLAIMS.items() if claim.experiment == experiment}
    cubes = dict.fromkeys({name for claim in claims.values() for name in claim.cubes}, cube.load())
    return dict(zip(claims, judge_all(claims.values(), cubes.get), strict=True))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("experiment", "in_need_of_a_circuit"),
    [
        (
            "mainline",
            ["paper.s1.ablate_key_to_chance", "paper.e2.hidden_progress", "blog.excluded_gradual", "blog.trig_lag"],
        ),
        ("subtraction", ["subtraction.cos_sims", "subtraction.plateau_train", "subtraction.wlogit_sparse"]),
        ("transformer_lens_demo", ["demo.key_freqs", "demo.cluster_17", "demo.excluded_before_end"]),
    ],
)
def test_cube_without_phases_and_key_frequencies_is_judged(results, experiment, in_need_of_a_circuit):
    """NaN fulfills no condition: claims that need a circuit differ, and no quantity fails."""
    judged = judged_on(open_cube(results / "results/small/cube.zarr"), experiment)
    assert {judged[name].verdict for name in in_need_of_a_circuit} == {DIFFERS}


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_another_network_that_adds_integers_is_judged(integers):
    judged = judged_on(open_cube(integers / "results/integers/cube.zarr"), "integer_addition")
    assert {judgment.verdict for judgment in judged.values()} <= {HOLDS, DIFFERS, RECORDED}
    assert judged["integer.split"].verdict == DIFFERS  # 36 pairs, not 100


# ---- relations


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        ({"above": 1}, 1.0, False),
        ({"at_least": 1}, 1.0, True),
        ({"below": 1}, 1.0, False),
        ({"at_most": 1}, 1.0, True),
        ({"between": (1, 2)}, 2.0, True),
        ({"between": (1, 2)}, 2.1, False),
        ({"equals": [1, 2]}, [1, 2], True),
        ({"equals": 3}, 4, False),
        ({"above": 0}, [1, 2, -1], False),
        ({"above": 0, "in_runs": 2}, [1, 2, -1], True),
        ({"above": 0, "in_runs": 3}, [1, 2, -1], False),
        ({"above": 0}, [], False),
        ({"above": 0}, float("nan"), False),
        ({"below": 0}, [float("nan")], False),
        ({"reported": True}, [1], True),
    ],
)
def test_relations(condition, value, expected):
    assert holds(Condition(value="x", **condition), {"x": value}) is expected


def test_condition_has_exactly_one_relation():
    for relations in ({}, {"above": 1, "below": 2}):
        with pytest.raises(ValueError, match="exactly one of"):
            Condition(value="x", **relations)


def claim(**fields):
    """Return a claim about a made-up experiment, with some fields replaced."""
    entry = {"id": "a", "source": "paper", "where": "here", "experiment": "made_up", "kind": "qualitative"}
    entry |= {"statement": "s", "published": 1, "measured_as": "m", "rule": "r", "quantity": "final_test_loss"}
    return Claim.model_validate(entry | {"accept": [{"value": "test_loss", "below": 1}]} | fields)


def cube_of_losses(*losses):
    return xr.Dataset({"test_loss": (("run", "epoch"), [[5.0, loss] for loss in losses])})


def test_verdict_follows_the_measured_value():
    assert judge(claim(), lambda _: cube_of_losses(0.5)).verdict == HOLDS
    judged = judge(claim(explanation="It is {test_loss[0]:.1f}."), lambda _: cube_of_losses(1.5))
    assert judged.verdict == DIFFERS
    assert judged.explanation == "test_loss is 1.5; the rule requires less than 1. It is 1.5."


def test_only_the_named_runs_are_judged():
    assert judge(claim(runs=[1]), lambda _: cube_of_losses(5, 0.5)).verdict == HOLDS
    assert judge(claim(runs=[2]), lambda _: cube_of_losses(5, 0.5)).verdict == NOT_RUN


def test_cube_with_missing_runs_is_measured_but_not_judged():
    cube = cube_of_losses(0.5).assign_attrs(experiment="mainline", runs_missing=["seed1", "seed2"], manifest="[{}]")
    judged = judge(claim(), lambda _: cube)
    assert judged.verdict == NOT_RUN
    assert judged.measured == {"test_loss": [0.5]}
    assert judged.incomplete == "1 of the 3 runs of mainline is trained."
    assert judge(claim(runs=[0]), lambda _: cube).measured == {}  # it is unknown which runs of the grid it has
    with_first = cube.assign_coords(run=["seed0"]).assign_attrs(first_run="seed0")
    assert judge(claim(runs=[0]), lambda _: with_first).verdict == HOLDS
    assert judge(claim(runs=[0]), lambda _: with_first.assign_coords(run=["seed2"])).verdict == NOT_RUN
    assert judge(claim(runs=[0, 1]), lambda _: with_first).verdict == NOT_RUN
    assert judge(claim(), lambda _: with_first).verdict == NOT_RUN
    assert judge(claim(kind="contradiction", accept=[]), lambda _: cube).verdict == RECORDED


def test_doubtful_import_is_not_judged():
    cube = cube_of_losses(0.5, 0.6).assign_coords(run=["seed0", "seed1"])
    cube = cube.assign_attrs(experiment="theirs", first_run="seed0", imported='{"doubts": ["x is y"]}')
    for runs in (None, [0], [1]):
        judged = judge(claim(runs=runs), lambda _: cube)
        assert (judged.verdict, judged.incomplete) == (NOT_RUN, "DOUBTFUL import of theirs: x is y.")


@pytest.fixture
def networks(monkeypatch):
    """Cubes of test losses by name; `made_up` and `other` are a population, `blank` is a control."""
    population = {"made_up": Population(networks=["made_up", "other"], authors="theirs", controls=["blank"])}
    monkeypatch.setattr("progress_measures.claims.judge.load_populations", lambda: population)
    return {"made_up": cube_of_losses(0.5, 2), "other": cube_of_losses(0.5, 0.6, 0.7), "blank": cube_of_losses(5)}


def test_verdict_counts_the_networks_of_the_population(networks):
    judged = judge(claim(runs=[1]), networks.get)
    assert (judged.verdict, judged.holding, len(judged.networks)) == (HOLDS, 4, 5)
    assert judged.measured == {"test_loss": [2]}
    assert judged.authors is None
    assert judge(claim(), (networks | {"other": cube_of_losses(0.5, 2, 2)}).get).verdict == HOLDS_IN_SOME
    assert (
        judge(claim(), (networks | {"made_up": cube_of_losses(2, 2), "other": cube_of_losses(0.5, 2, 2)}).get).verdict
        == DIFFERS
    )
    assert judge(claim(), (networks | {"theirs": cube_of_losses(0.5)}).get).authors.holds


def test_population_says_which_runs_are_missing(networks):
    lacking = {"experiment": "other", "runs_missing": ["seed3"], "manifest": "[{}, {}, {}]"}
    networks["other"] = networks["other"].assign_attrs(lacking)
    judged = judge(claim(runs=[0]), networks.get)
    assert (judged.verdict, len(judged.networks)) == (HOLDS, 5)
    assert judged.incomplete == "3 of the 4 runs of other are trained."


def test_maps_of_the_first_run_are_left_out_for_the_others(networks):
    """A network whose cube lacks what a quantity reads is not counted."""
    fires = [[0.1, 0.99]]
    cube = xr.Dataset(
        {
            "neuron_fraction_explained": (("run", "epoch", "neuron"), np.full((3, 1, 2), 0.2)),
            "neuron_fraction_active": (("epoch", "neuron"), fires),
        },
        {"run": ["seed0", "seed1", "seed2"], "layers": ("run", [1] * 3), "d_mlp": ("run", [2] * 3)},
    )
    of_neurons = claim(quantity="unclustered_fire", accept=[{"value": "always_on", "equals": 1}])
    judged = judge(of_neurons, {"made_up": cube}.get)
    assert [(outcome.run, outcome.holds) for outcome in judged.networks] == [("seed0", True)]


def test_maps_of_other_runs_are_computed_from_weights(networks):
    """At the last checkpoint, and only for quantities that read no earlier one."""
    dims, coords = ("epoch", "neuron"), {"epoch": [0, 100], "run": ["seed0", "seed1"]}
    cube = xr.Dataset(
        {
            "neuron_fraction_explained": (("run", *dims), np.full((2, 2, 2), 0.2)),
            "neuron_fraction_active": (dims, [[0, 0], [0.1, 0.99]]),
        },
        coords | {"layers": ("run", [1] * 2), "d_mlp": ("run", [2] * 2)},
    )
    computed = []

    def maps_of(name, run, names):
        computed.append((name, run, names))
        return xr.Dataset({"neuron_fraction_active": (dims, [[0.2, 0.3]])}, {"epoch": [100]})

    of_neurons = claim(quantity="unclustered_fire", accept=[{"value": "always_on", "equals": 1}])
    judged = judge_all([of_neurons], {"made_up": cube}.get, maps_of)[0]
    assert [(outcome.run, outcome.holds) for outcome in judged.networks] == [("seed0", True), ("seed1", False)]
    assert computed == [("made_up", "seed1", ["neuron_fraction_active"])]


def test_measures_of_last_weights_are_those_of_the_cube():
    names = ["neuron_fraction_active", "neuron_value_token", "test_loss_by_answer"]  # the last one does not apply
    maps, cube = measures_of_last_weights("mainline", "seed0", names, published=True), published("mainline")
    assert set(maps.data_vars) == set(names[:2])
    np.testing.assert_allclose(maps.neuron_fraction_active[0], cube.neuron_fraction_active[-1], atol=1e-3)
    np.testing.assert_allclose(maps.neuron_value_token, cube.neuron_value_token, atol=1e-2)
    assert not measures_of_last_weights("authors_network", "authors_network", names, published=True)


def test_page_gives_population_authors_and_controls(networks, tmp_path):
    networks |= {"theirs": cube_of_losses(0.3), "other": cube_of_losses(0.5, 0.6, 2)}
    change = {"text": "loss | falls", "before": "below 2", "reason": "The text says 1.", "verdict": "differs (0 of 5)"}
    judged = judge(claim(runs=[0], changed=change), networks.get)
    claims_page.write_claims([judged], tmp_path / "claims.json", tmp_path / "claims.md", "published")
    text = (tmp_path / "claims.md").read_text()
    assert "<summary><b>± 3 of 5</b> " in text
    assert (
        "<li><b>networks</b>: holds in 3 of 5, not in made_up/, other/; authors' network: holds; blank: fails</li>"
        in text
    )
    assert "<li><b>population</b>: test_loss 0.5 to 2 (authors' network 0.3)</li>" in text
    assert (
        "| `a` | “loss \\| falls” (here) | below 2 | The text says 1. | differs (0 of 5) | holds in some (3 of 5) |"
        in text
    )


def test_rule_that_holds_of_a_control_does_not_discriminate(networks):
    networks["blank"] = cube_of_losses(5, 0.5)
    judged = judge(claim(), networks.get)
    assert judged.verdict == NOT_DISCRIMINATING
    assert judged.passing_controls == ["blank"]
    assert judge(claim(passes_on_controls="It is about all networks."), networks.get).verdict == HOLDS


def test_rule_that_is_judged_once_is_judged_once_on_each_control(networks):
    """All runs of a control together; a control that has not learned what the rule needs is left out."""
    networks |= {"made_up": cube_of_losses(0.5, 0.6), "blank": cube_of_losses(5, 0.5)}
    judged = judge(claim(together=True), networks.get)
    assert (judged.verdict, [outcome.holds for outcome in judged.controls]) == (HOLDS, [False])
    networks["blank"] = cube_of_losses(0.5, 0.5)
    assert judge(claim(together=True), networks.get).verdict == NOT_DISCRIMINATING
    assert judge(claim(together=True, passes_on_controls="It is about all networks."), networks.get).verdict == HOLDS
    assert judge(claim(kind="exact"), networks.get).controls == ()
    for cube, final in (("made_up", 1), ("blank", 0.5)):
        networks[cube] = networks[cube].assign(train_accuracy=(("run", "epoch"), [[0, final]] * 2))
    assert judge(claim(together=True, needs="memorization"), networks.get).controls == ()


def test_rule_that_compares_runs_is_judged_once(networks):
    assert judge(claim(together=True), networks.get).verdict == DIFFERS
    assert judge(claim(accept=[{"value": "test_loss", "below": 1, "in_runs": 1}]), networks.get).verdict == HOLDS
    assert judge(claim(kind="exact"), networks.get).networks == ()


def test_networks_that_did_not_learn_are_left_out(networks):
    def with_accuracy(cube, *final):
        return cube.assign(train_accuracy=(("run", "epoch"), [[0, x] for x in final]))

    networks["made_up"] = with_accuracy(networks["made_up"], 1, 0.5)
    networks["other"] = with_accuracy(networks["other"], 0.5, 0.5, 0.5)
    judged = judge(claim(needs="memorization"), networks.get)
    assert (judged.verdict, judged.holding, len(judged.networks)) == (HOLDS, 1, 1)
    networks["made_up"] = with_accuracy(networks["made_up"], 0.5, 0.5)
    for fields in ({}, {"together": True}):
        judged = judge(claim(needs="memorization", **fields), networks.get)
        assert judged.verdict == CANNOT_BE_JUDGED
        assert judged.incomplete == "No network is judged: the rule needs a final train accuracy of at least 99%."


def test_network_that_stopped_early_is_judged_at_its_own_last_checkpoint(networks, monkeypatch):
    monkeypatch.setattr("progress_measures.claims.judge.load_populations", dict)
    curves = {"test_loss": [[5, 0.5, np.nan], [5, 3, 0.6]], "train_accuracy": [[0, 1, np.nan], [0, 0.5, 1]]}
    cube = xr.Dataset({name: (("run", "epoch"), np.array(values)) for name, values in curves.items()})
    cube = cube.assign_coords(run=["a", "b"], epoch=[0, 10, 20], stopped_at=("run", [10.0, np.nan]))
    judged = judge(claim(needs="memorization"), lambda _: cube)
    assert (judged.verdict, judged.holding, len(judged.networks)) == (HOLDS, 2, 2)
    together = judge(claim(needs="memorization", together=True), lambda _: cube.isel(run=[0]))
    assert together.verdict != CANNOT_BE_JUDGED


def test_network_whose_measures_are_unknown_at_some_checkpoints_is_not_judged_by_nan(networks, monkeypatch):
    monkeypatch.setattr("progress_measures.claims.judge.load_populations", dict)
    halves = Quantity("half", lambda cube: {"test_loss": [float(cube.test_loss[0, 1])]}, ("test_loss",))
    monkeypatch.setattr("progress_measures.claims.judge.load_quantity", lambda _: halves)
    losses = np.array([[5, np.nan, 0.5], [5, 0.6, 0.5]])
    cube = xr.Dataset({"test_loss": (("run", "epoch"), losses)}, {"run": ["a", "b"]})
    judged = judge(claim(), lambda _: cube)
    assert (judged.verdict, [outcome.run for outcome in judged.networks]) == (HOLDS, ["b"])


def test_networks_that_learned_but_lack_a_variable_are_not_said_to_lack_accuracy(networks, monkeypatch):
    population = {"made_up": Population(networks=["other"])}
    monkeypatch.setattr("progress_measures.claims.judge.load_populations", lambda: population)
    learned = {"train_accuracy": (("run", "epoch"), [[0, 1]] * 3)}
    networks["other"] = networks["other"].assign(learned).drop_vars("test_loss")
    judged = judge(claim(needs="memorization"), networks.get)
    assert judged.verdict == CANNOT_BE_JUDGED
    assert judged.incomplete == "No network has the values that the rule needs."


def test_claim_that_requires_a_report_cannot_hold():
    reported = claim(accept=[{"value": "test_loss", "reported": True}])
    assert judge(reported, lambda _: cube_of_losses(0.5)).verdict == RECORDED


def test_missing_variable_is_named():
    with pytest.raises(
        UserError, match=r"the cube of made_up lacks test_loss, which the quantity \S*final_test_loss reads"
    ):
        judge(claim(), lambda _: cube_of_losses(0.5).drop_vars("test_loss"))


def test_quantity_gets_the_variables_that_it_declares(monkeypatch):
    received = []
    quantity = Quantity("final_test_loss", lambda *cubes: received.extend(cubes) or {"test_loss": 0}, ("test_loss",))
    monkeypatch.setattr("progress_measures.claims.judge.load_quantity", lambda _: quantity)
    cube = cube_of_losses(0.5).assign(train_loss=1.0).assign_coords(seed=("run", [0]))
    judge(claim(), lambda _: cube)
    assert received
    assert all((list(part.data_vars), list(part.coords)) == (["test_loss"], ["seed"]) for part in received)


def test_contradictions_are_recorded_with_the_measured_value():
    judged = judge(claim(kind="contradiction", accept=[]), lambda _: cube_of_losses(0.5))
    assert judged.verdict == RECORDED
    assert judged.measured == {"test_loss": [0.5]}


# ---- files


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"verdict": "holds"}, "wrong.yaml: a: verdict: Extra inputs"),
        ({"kind": "vague"}, "wrong.yaml: a: kind: Input should be"),
        ({"accept": []}, "quantity and accept belong together"),
        ({"headline": True, "judged_on": ["mainline", "dropout"]}, "that is judged on each network"),
        ({"headline": True, "accept": [{"value": "test_loss", "reported": True}]}, "needs a rule with bounds"),
        ({"headline": True, "kind": "contradiction"}, "must not be of kind `contradiction`"),
    ],
)
def test_invalid_entry_is_named(tmp_path, entry, expected):
    content = claim().model_dump(exclude_unset=True) | entry
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump([content]))
    load.cache_clear()
    with pytest.raises(UserError, match=expected):
        load(tmp_path)


def test_json_has_the_documented_fields(judgments, tmp_path):
    claims_page.write_claims(list(judgments.values()), tmp_path / "claims.json", tmp_path / "claims.md", "published")
    objects = json.loads((tmp_path / "claims.json").read_text(), parse_constant=pytest.fail)
    assert [record["id"] for record in objects] == list(CLAIMS)
    fields = ["id", "source", "experiment", "statement", "published", "measured", "incomplete", "rule", "verdict"]
    fields += ["holds_in", "networks", "authors", "passing_controls", "explanation"]
    assert all(list(record) == fields for record in objects)


def test_page_names_the_source_of_each_number(judgments, tmp_path):
    claims_page.write_claims(list(judgments.values()), tmp_path / "claims.json", tmp_path / "claims.md", "published")
    text = (tmp_path / "claims.md").read_text()
    assert sorted(re.findall(r'<details class="claim" id="([^"]+)"', text)) == sorted(CLAIMS)
    code = "<code>key_block_ablation</code> in <code>src/progress_measures/claims/quantities/mechanism.py</code>"
    assert f"<li><b>code</b>: {code}</li>" in text
    assert "`progress-measures claims --cubes published --only ID`" in text


def test_page_shows_differing_claims_first_and_each_claim_is_one_html_block(judgments, tmp_path):
    """GitHub ends an HTML block at a blank line, and would read what follows as Markdown."""
    claims_page.write_claims(list(judgments.values()), tmp_path / "claims.json", tmp_path / "claims.md", "published")
    text = (tmp_path / "claims.md").read_text()
    sections = re.findall(r"^## (.*)$", text, re.M)
    assert sections[:2] == ["Differs", "Holds in some"]
    assert sections.index("Holds") < sections.index("Recorded") < sections.index("How a claim is judged")
    entries = re.findall(r"^<details .*?^</details>$", text, re.M | re.S)
    assert len(entries) == len(CLAIMS)
    for entry in entries:
        assert "\n\n" not in entry
        ElementTree.fromstring(entry)  # raises for a tag or character that is not escaped


def test_committed_page_is_current_for_the_published_cubes(judgments, tmp_path):
    claims_page.write_claims(list(judgments.values()), tmp_path / "claims.json", tmp_path / "claims.md", "published")
    committed = (ROOT / "docs/claims.md").read_text()
    assert committed == (tmp_path / "claims.md").read_text(), "`make claims` writes it"


def test_unknown_claim_is_an_error(tmp_path):
    (tmp_path / "config/claims").mkdir(parents=True)
    (tmp_path / "config/claims/paper.yaml").write_text(yaml.safe_dump([claim().model_dump(exclude_unset=True)]))
    done = command("claims", "--only", "b", folder=tmp_path)
    assert done.returncode == 2
    assert "--only b: there is no such claim" in done.stderr
    assert "Traceback" not in done.stderr
