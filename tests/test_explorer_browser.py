"""The explorer in a real, headless Chromium: it shows the values of the cube for every selection.

Every page must end without a console message, an error or a network request.
"""

import io
import itertools
import json
import re
from urllib.parse import parse_qs, urlencode

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from progress_measures import fourier
from progress_measures.analysis.pair_maps import attention_map, neuron_map
from progress_measures.claims.describe import summaries
from progress_measures.cube.open import cube_if_any, open_cube
from progress_measures.explorer.page import article_parts, write_page
from progress_measures.paths import published_cube
from support import ROOT

pytestmark = pytest.mark.browser

SHOWN = ("mainline", "subtraction", "no_weight_decay", "skip_trigram")
LIMIT = 15_000_000  # bytes of the mainline's page
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
VIEWS = (
    "losses", "sparsity", "norms-W_E", "norms-W_L", "embedding", "interference", "neuron", "neuron-spectrum", "neurons",
    "attention", "mean-attention", "logits",
)  # fmt: skip


@pytest.fixture(scope="module")
def cubes():
    missing = [name for name in SHOWN if not (ROOT / published_cube(name)).exists()]
    if missing:
        pytest.skip(f"no published cube of {', '.join(missing)}")
    return {name: open_cube(ROOT / published_cube(name)).load() for name in SHOWN}


@pytest.fixture(scope="module")
def page_file(cubes, tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "index.html"
    write_page(list(cubes.values()), path)
    return path


class Explorer:
    """An open page of the explorer, with methods for what a reader sees and does."""

    def __init__(self, page):
        self.page = page

    def at(self, **choice):
        """Wait until the address contains `choice`, and return all selections in the address."""
        for name, value in choice.items():
            expect(self.page).to_have_url(re.compile(rf"[#&]{name}={re.escape(str(value))}(&|$)"))
        return {name: values[0] for name, values in parse_qs(self.page.url.partition("#")[2]).items()}

    def card(self, view, **choice):
        """Scroll to a view, wait until it shows the current selection and `choice`, and return it."""
        card = self.page.locator(f"#{view}")
        card.scroll_into_view_if_needed()
        required = [f"{name}={value}" for name, value in choice.items()]
        current = self.at()
        required += [f"{name}={current[name]}" for name in ("experiment", "run", "epoch") if name not in choice]
        for part in required:
            expect(card).to_have_attribute("data-shown", re.compile(rf"[#&]{re.escape(part)}(&|$)"))
        return card

    def numbers(self, view, **choice):
        """Return the numbers of a view as displayed, by label."""
        items = self.card(view, **choice).locator(".numbers li")
        return {item.locator("span").inner_text(): item.locator("b").inner_text() for item in items.all()}

    def note(self, view):
        return self.card(view).locator(".note").inner_text()

    def held(self, view):
        """Return what a dimmed view says of the epoch that it shows."""
        return self.card(view).locator(".last-only").text_content()

    def in_sight(self, selector):
        """Return whether an element is in the window, and above the time bar if it is not part of it."""
        return self.page.evaluate(
            """(selector) => {
                const element = document.querySelector(selector), time = document.querySelector("#time");
                const { top, bottom } = element.getBoundingClientRect();
                return top >= -1 && bottom <= (time.contains(element) ? innerHeight : time.getBoundingClientRect().top) + 1;
            }""",
            selector,
        )

    def traces(self, view, **choice):
        """Return the traces that Plotly draws in a view, with arrays as lists."""
        self.card(view, **choice)
        return self.page.evaluate(
            """(id) => document.querySelector(`#${id} .plot`).data.map((trace) => JSON.parse(JSON.stringify(trace,
                (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value))))""",
            view,
        )

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def epoch(self):
        return int(self.page.locator("#epoch").inner_text().removeprefix("epoch ").replace(",", ""))


def expect(target):
    from playwright.sync_api import expect as asserted

    return asserted(target)


@pytest.fixture
def explore(browser, page_file):
    """A function that opens the page: `explore(run="seed1", epoch=4300)`; `how` holds options of the browser context."""
    contexts, events = [], []

    def opened(file=page_file, how=None, **choice):
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}} | (how or {}))
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: events.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: events.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                request.url.startswith((file.as_uri(), "blob:")) or events.append(f"requests {request.url}")
            ),
        )
        page.goto(file.as_uri() + (f"#{urlencode(choice)}" if choice else ""), timeout=60_000)
        expect(page.locator("[data-shown]").first).to_be_visible(timeout=60_000)
        return Explorer(page)

    yield opened
    for context in contexts:
        context.close()
    assert events == []


def shows(text, value):
    """Return whether a displayed number equals a value to the displayed digits."""
    size = abs(value)
    expected = round(value) if 1000 <= size < 1e6 else float(f"{np.float32(value):.3g}")
    return float(text.replace(",", "").replace("−", "-")) == expected


SELECTIONS = [
    ("mainline", "seed0", 14_000), ("mainline", "seed0", 900), ("mainline", "seed3", 6_600), ("subtraction", "seed999", 19_000),
    ("no_weight_decay", "seed0", 40_000),
]  # fmt: skip


@pytest.mark.parametrize(("experiment", "run", "epoch"), SELECTIONS)
def test_numbers_equal_the_cube(explore, cubes, experiment, run, epoch):
    page, run_cube = explore(experiment=experiment, run=run, epoch=epoch), cubes[experiment].sel(run=run)
    at_epoch = run_cube.sel(epoch=epoch)
    losses = page.numbers("losses")
    for label in ("train", "test", "restricted", "excluded"):
        value = float(at_epoch[f"{label}_loss"])
        assert losses[label] == "–" if np.isnan(value) else shows(losses[label], value), (label, value)
    ends = {"memorization": "memorization_end", "circuit formation": "circuit_formation_end", "cleanup": "cleanup_end"}
    for name, end in ends.items():
        shown = losses.get(f"{name} ends at")
        assert shown is None if np.isnan(run_cube[end]) else int(shown.replace(",", "")) == int(run_cube[end])
    sparsity = page.numbers("sparsity")
    assert shows(sparsity["Gini of W_E"], float(at_epoch.gini_W_E))
    assert shows(sparsity["Gini of W_L"], float(at_epoch.gini_W_L))
    assert shows(sparsity["sum of squares"], float(at_epoch.sum_of_squared_weights))
    keys = run_cube.frequency.values[run_cube.key_frequency.values]
    for matrix in ("W_E", "W_L"):
        norms = page.numbers(f"norms-{matrix}")
        assert list(norms) == [f"k = {k}" for k in keys]
        for k in keys:
            components = [
                float(at_epoch[f"{matrix}_fourier_norm"].sel(fourier_component=f"{wave} {k}"))
                for wave in ("cos", "sin")
            ]
            assert float(norms[f"k = {k}"]) == pytest.approx(np.hypot(*components), rel=5.1e-3)
    neurons = page.numbers("neurons")
    in_a_cluster = at_epoch.neuron_fraction_explained.values >= 0.85
    assert neurons["at 85 % or more"] == f"{in_a_cluster.sum()} of {in_a_cluster.size}"
    for k in keys:
        assert neurons[f"k = {k}"] == str((in_a_cluster & (at_epoch.neuron_frequency.values == k)).sum())
    assert page.page.locator("#summary").text_content() == f"{run}: {summaries(cubes[experiment])[run]}"


@pytest.mark.parametrize(("experiment", "run", "epoch"), SELECTIONS)
def test_curves_and_bars_equal_the_cube(explore, cubes, experiment, run, epoch):
    page, run_cube = explore(experiment=experiment, run=run, epoch=epoch), cubes[experiment].sel(run=run)
    losses = page.traces("losses")
    for trace, name in zip(losses[::2], ("train", "test", "restricted", "excluded"), strict=True):
        assert trace["x"] == run_cube.epoch.values.tolist()
        shown = np.array(trace["y"], dtype=float)
        np.testing.assert_allclose(shown, run_cube[f"{name}_loss"].values, rtol=1e-6)
    for matrix in ("W_E", "W_L"):
        bars = page.traces(f"norms-{matrix}")
        for wave, trace in zip(("cos", "sin"), bars, strict=True):
            names = [f"{wave} {k}" for k in run_cube.frequency.values]
            expected = run_cube[f"{matrix}_fourier_norm"].sel(epoch=epoch, fourier_component=names)
            np.testing.assert_allclose(trace["y"], expected, rtol=2e-4)
    points = page.traces("neurons")[0]
    np.testing.assert_allclose(points["y"], run_cube.neuron_fraction_explained.sel(epoch=epoch), atol=6e-4)
    assert np.array_equal(np.round(points["x"]), run_cube.neuron_frequency.sel(epoch=epoch))
    mean = page.traces("mean-attention")[0]["z"]
    np.testing.assert_allclose(mean, run_cube.mean_attention.sel(epoch=epoch), rtol=2e-4)


@pytest.mark.parametrize(
    ("experiment", "neuron", "epoch"), [("mainline", 457, 4300), ("mainline", 5, 14_000), ("subtraction", 3, 19_000)]
)
def test_maps_equal_those_rebuilt_in_python(explore, cubes, experiment, neuron, epoch):
    cube = cubes[experiment]
    page = explore(experiment=experiment, epoch=epoch, neuron=neuron, head=1)
    moment = int(cube.moment[np.abs(cube.moment.values - epoch).argmin()])
    expected = neuron_map(cube, neuron, epoch=moment).values
    shown = np.array(page.traces("neuron")[0]["z"])
    np.testing.assert_allclose(shown, expected, atol=2e-3 * expected.max())
    spectrum = np.abs(fourier.basis(len(shown)) @ shown @ fourier.basis(len(shown)).T)
    spectrum[0, 0] = 0
    drawn = np.array(page.traces("neuron-spectrum")[0]["z"])
    np.testing.assert_allclose(drawn**2, spectrum / spectrum.max(), atol=1e-6)
    attention = np.array(page.traces("attention")[0]["z"])
    np.testing.assert_allclose(attention, attention_map(cube, 1, epoch=moment).sel(position="a"), atol=2e-3)
    for view in ("neuron", "attention"):
        assert (f"Shown: epoch {moment:,}, the stored epoch nearest to {epoch:,}" in page.note(view)) == (
            moment != epoch
        )


def test_neuron_that_is_not_stored_over_time_is_shown_at_the_last_epoch(explore, cubes):
    page = explore(experiment="mainline", epoch=900, neuron=300, range="all")
    shown = np.array(page.traces("neuron")[0]["z"])
    expected = neuron_map(cubes["mainline"], 300).values
    np.testing.assert_allclose(shown, expected, atol=2e-3 * expected.max())
    assert page.held("neuron") == "Does not follow the slider. Stored and shown: only epoch 40,000, the last."


@pytest.mark.parametrize("run", ["seed0", "seed2"])
def test_circles_and_the_spectrum_of_logits_are_of_the_named_epoch(explore, cubes, run):
    run_cube = cubes["mainline"].sel(run=run)
    page = explore(experiment="mainline", run=run, epoch=4300)
    moments = (
        run_cube.moment_W_E.dropna("moment").moment.values
        if "moment_W_E" in run_cube and run == "seed0"
        else np.array([40_000])
    )
    epoch = int(moments[np.abs(moments - 4300).argmin()])
    W = (run_cube.moment_W_E.sel(moment=epoch) if epoch != 40_000 else run_cube.W_E).values[:-1].astype(float)
    circles = page.traces("embedding")
    keys = run_cube.frequency.values[run_cube.key_frequency.values]
    assert len(circles) == len(keys)
    for k, circle in zip(keys, circles, strict=True):
        rows = (fourier.basis(len(W)) @ W)[2 * k - 1 : 2 * k + 1]
        plane = np.linalg.qr(rows.T)[0].T
        plane *= np.sign((plane * rows).sum(-1))[:, None]
        np.testing.assert_allclose(np.array([circle["x"], circle["y"]]), plane @ W.T, atol=3e-3)
    spectrum = (
        run_cube.moment_logit_fourier_norm_2d.sel(moment=epoch) if epoch != 40_000 else run_cube.logit_fourier_norm_2d
    )
    norms = spectrum.values.copy()
    norms[0, 0] = 0
    np.testing.assert_allclose(np.array(page.traces("logits")[0]["z"]) ** 2, norms / norms.max(), rtol=6e-3)
    for view in ("embedding", "logits"):
        assert page.held(view) == (
            "" if epoch == 4300 else f"Does not follow the slider. Stored and shown: only epoch {epoch:,}, the last."
        )


def test_views_that_do_not_follow_the_slider_are_dimmed_except_at_their_epoch(explore):
    page = explore(experiment="mainline", run="seed2", epoch=4300)
    opacity = "(e) => Number(getComputedStyle(e).opacity)"
    for view in ("embedding", "attention", "logits"):
        assert page.held(view)
        assert page.page.locator(f"#{view} .plot").evaluate(opacity) < 0.5
    page.page.select_option("#range", "all")
    page.press("End")
    page.at(epoch=40_000)
    for view in ("embedding", "attention", "logits"):
        assert page.held(view) == ""
        assert page.page.locator(f"#{view} .plot").evaluate(opacity) == 1


@pytest.mark.parametrize(("experiment", "sign"), [("mainline", 1), ("subtraction", -1)])
def test_waves_add_up_at_the_right_answer(explore, cubes, experiment, sign):
    run_cube = cubes[experiment].isel(run=0)
    page = explore(experiment=experiment, a=20, b=100)
    page.press("End")
    page.at(epoch=int(page.page.locator("#slider").get_attribute("max")) * 100)
    epoch, answer = page.epoch(), (20 + sign * 100) % 113
    bars, *waves = page.traces("interference")
    keys = run_cube.frequency.values[run_cube.key_frequency.values]
    height = run_cube.cosine_coefficient.sel(epoch=epoch, frequency=keys).values / np.sqrt(113**3 / 2)
    expected = height[:, None] * np.cos(2 * np.pi * keys[:, None] * (answer - np.arange(113)) / 113)
    np.testing.assert_allclose([wave["y"] for wave in waves], expected, atol=3e-4 * height.max())
    np.testing.assert_allclose(bars["y"], expected.sum(0), atol=1e-3 * height.max())
    assert int(np.argmax(bars["y"])) == answer
    numbers = page.numbers("interference")
    for k, value in zip(keys, height, strict=True):
        assert float(numbers[f"α of k = {k}"]) == pytest.approx(value, rel=6e-3)
    page.page.locator("#interference input").first.fill("21")
    page.page.locator("#interference input").first.press("Enter")
    assert int(np.argmax(page.traces("interference", a=21)[0]["y"])) == (21 + sign * 100) % 113


def test_slider_changes_every_view(explore, cubes):
    page = explore(experiment="mainline")
    assert page.epoch() == 0
    box = page.page.locator("#slider").bounding_box()
    page.page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
    page.at(epoch=page.epoch())
    epoch = page.epoch()
    assert abs(epoch - 0.3 * 14_000) <= 200
    for view in VIEWS:
        page.card(view, epoch=epoch)
    at_epoch = cubes["mainline"].sel(run="seed0", epoch=epoch)
    assert shows(page.numbers("losses")["test"], float(at_epoch.test_loss))
    page.page.select_option("#range", "all")
    page.at(range="all", epoch=epoch)
    page.press("End")
    page.at(epoch=40_000)


@pytest.mark.parametrize("how", [{}, PHONE], ids=["desktop", "phone"])
def test_page_opens_at_the_first_epoch_with_play_in_sight(explore, how):
    page = explore(how=how)
    assert page.epoch() == 0
    for selector in ("#play", "#slider", "#steps li:first-child button"):
        assert page.in_sight(selector), selector


# by number of the step, the view that it shows, and the choice that it makes in mainline's seed0
STEPS = {
    1: ("losses", {"epoch": 1000}),
    2: ("losses", {"epoch": 4300}),
    3: ("sparsity", {"epoch": 6900}),
    4: ("interference", {"epoch": 40_000, "a": 17, "b": 45}),
    5: ("norms-W_E", {"epoch": 40_000, "beside": "seed1"}),
}


@pytest.mark.parametrize("how", [{}, PHONE], ids=["desktop", "phone"])
def test_story_is_told_in_five_steps(explore, cubes, how, tmp_path):
    """Each step chooses, and scrolls to a view; a screenshot of the plot shows more than its ground."""
    page, screenshots = explore(how=how, experiment="mainline", a=3, b=4), []
    page.page.locator("#steps button").first.click()
    for number, (view, choice) in STEPS.items():
        page.at(step=number, **choice)
        page.page.wait_for_function(
            "(y) => { const same = window.lastY === scrollY; window.lastY = scrollY; return same; }", polling=200
        )
        expect(page.page.locator(f"#{view}")).to_have_attribute(
            "data-shown", re.compile(f"step={number}(&|$)|epoch={choice['epoch']}&")
        )
        assert page.in_sight(f"#{view} .plot"), number
        assert page.page.locator(".in-story").get_attribute("id") == view
        screenshots.append(np.asarray(Image.open(io.BytesIO(page.page.screenshot())).convert("L"), dtype=float))
        box = page.page.locator(f"#{view} .plot").first.bounding_box()
        scale = screenshots[-1].shape[1] / page.page.viewport_size["width"]
        x, y, width, height = (round(scale * box[name]) for name in ("x", "y", "width", "height"))
        assert screenshots[-1][y : y + height, x : x + width].std() > 5, number
        if number < 5:
            page.page.locator(".story-bar button").first.click()
    assert all((one != other).mean() > 0.001 for one, other in itertools.pairwise(screenshots))
    assert len(page.page.locator("#norms-W_E .plot").all()) == 2
    page.page.locator("#play").click()
    expect(page.page.locator(".story-bar")).to_be_hidden()


def test_sentences_of_the_story_have_the_values_of_the_cube(explore, cubes):
    page, run_cube = explore(experiment="mainline", run="seed3"), cubes["mainline"].sel(run="seed3")
    sentences = [button.locator("span").inner_text() for button in page.page.locator("#steps button").all()]
    ends = [int(run_cube[name]) for name in ("memorization_end", "circuit_formation_end", "cleanup_end")]

    def at(name, phase):
        return float(run_cube[name].sel(epoch=ends[phase]))

    numbers = [re.findall(r"\d[\d,.]*(?:e[-+]\d+)?", sentence) for sentence in sentences]
    for shown, (name, phase) in zip(
        [*numbers[0][1:3], *numbers[1][2:], *numbers[2][2:]],
        [
            ("train_loss", 0), ("test_loss", 0), ("restricted_loss", 0), ("restricted_loss", 1), ("excluded_loss", 0),
            ("excluded_loss", 1), ("test_loss", 0), ("test_loss", 1), ("sum_of_squared_weights", 1),
            ("sum_of_squared_weights", 2), ("test_loss", 1), ("test_loss", 2),
        ],
        strict=True,
    ):  # fmt: skip
        assert shows(shown.rstrip(".,"), at(name, phase)), (shown, name, phase)
    assert [int(shown.replace(",", "")) for shown in (numbers[0][0], *numbers[2][:2])] == ends
    assert [int(shown.replace(",", "")) for shown in numbers[1][:2]] == ends[:2]
    assert "Their sum is largest at 62." in sentences[3]
    assert "seed3 has the key frequencies 1, 27, 38; seed0 has 1, 5, 7, 29." in sentences[4]


def test_steps_that_a_run_lacks_say_why(explore):
    page = explore(experiment="no_weight_decay")
    buttons = page.page.locator("#steps button").all()
    assert "finds no end of cleanup" in buttons[2].inner_text()
    assert all(buttons[index].is_disabled() for index in (1, 2, 3, 4))


def test_click_on_a_phase_goes_to_its_end(explore, cubes):
    page, run_cube = explore(experiment="mainline", run="seed1"), cubes["mainline"].sel(run="seed1")
    for index, name in enumerate(("memorization_end", "circuit_formation_end", "cleanup_end")):
        page.page.locator("#bands button").nth(index).click()
        page.at(epoch=int(run_cube[name]))


def test_pointing_at_a_frequency_lights_it_in_every_view(explore):
    page = explore(how={"viewport": {"width": 1440, "height": 2600}}, experiment="mainline", epoch=40_000)
    for view in VIEWS:
        page.card(view)

    def colors():
        bars, points = page.traces("norms-W_L")[0]["marker"]["color"], page.traces("neurons")[0]["marker"]["color"]
        circles = [
            trace["marker"].get("opacity") or (trace["marker"] and trace.get("opacity")) or 1
            for trace in page.traces("embedding")
        ]
        waves = [wave["line"]["color"] for wave in page.traces("interference")[1:]]
        return bars, set(points), circles, waves

    before = colors()
    area = page.page.locator("#norms-W_E .nsewdrag").first.bounding_box()
    x, y = area["x"] + area["width"] * (29 - 0.2) / 57, area["y"] + area["height"] - 10
    page.page.mouse.move(x - 3, y)
    page.page.mouse.move(x, y)
    page.page.wait_for_function(
        "() => new Set(document.querySelector('#norms-W_L .plot').data[0].marker.color).size === 2"
    )
    page.page.wait_for_function(
        "() => document.querySelector('#interference .plot').data.slice(1).filter((w) => w.line.width > 2).length === 1"
    )
    bars, points, circles, waves = colors()
    lit = before[0][28]
    assert bars[28] == lit
    assert bars.count(lit) == 1
    assert points == {lit, bars[0]}
    assert [value == 1 for value in circles] == [False, False, False, True]
    assert waves[-1] == lit
    assert waves.count(lit) == 1
    page.page.mouse.move(5, 5)
    page.page.wait_for_function(
        "() => new Set(document.querySelector('#norms-W_L .plot').data[0].marker.color).size > 2"
    )
    assert colors() == before


def test_two_runs_are_shown_side_by_side(explore, cubes):
    page = explore(experiment="mainline", epoch=9000)
    page.page.select_option("#beside", "seed3")
    page.at(beside="seed3", run="seed0", epoch=9000)
    for view in VIEWS:
        page.card(view, beside="seed3")
        assert page.page.locator(f"#{view} h3").all_inner_texts() == ["seed0", "seed3"]
    plots = page.page.evaluate(
        "() => [...document.querySelectorAll('#losses .plot')].map((plot) => Array.from(plot.data[2].y))"
    )
    for run, shown in zip(("seed0", "seed3"), plots, strict=True):
        np.testing.assert_allclose(shown, cubes["mainline"].test_loss.sel(run=run), rtol=1e-6)
    left, right = (page.page.locator("#losses .plot").nth(index).bounding_box() for index in (0, 1))
    assert left["x"] + left["width"] <= right["x"]
    assert page.page.evaluate(TOO_WIDE) == []
    page.page.select_option("#run", "seed3")  # the same run is not shown twice
    page.at(run="seed3")
    assert "beside" not in page.at()
    assert len(page.page.locator("#losses .plot").all()) == 1


@pytest.mark.parametrize("view", ["losses", "norms-W_E", "logits", "mean-attention"])
def test_data_of_a_view_are_saved(explore, cubes, view):
    page, run_cube = explore(experiment="mainline", epoch=4300), cubes["mainline"].sel(run="seed0")
    with page.page.expect_download() as started:
        page.card(view).get_by_text("CSV").click()
    assert started.value.suggested_filename == f"mainline_seed0_{view}_epoch4300.csv"
    table = pd.read_csv(started.value.path())
    assert set(table["experiment"]) == {"mainline"}
    assert set(table["chosen epoch"]) == {4300}
    if view == "losses":
        test = table[table.series == "Test loss (nat)"]
        assert np.array_equal(test["Epoch"], run_cube.epoch)
        np.testing.assert_allclose(test["Loss (nat)"], run_cube.test_loss, rtol=1e-6)
    elif view == "norms-W_E":
        cosines = table[table.series == "cos"]
        expected = run_cube.W_E_fourier_norm.sel(epoch=4300, fourier_component=[f"cos {k}" for k in range(1, 57)])
        np.testing.assert_allclose(cosines["Norm"], expected, rtol=2e-4)
    elif view == "logits":
        cell = table[(table["Frequency over a"] == "cos 29") & (table["Frequency over b"] == "sin 29")]
        expected = run_cube.moment_logit_fourier_norm_2d.sel(
            moment=4300, fourier_component_a="cos 29", fourier_component_b="sin 29"
        )
        assert cell["value"].item() == pytest.approx(float(expected), rel=2e-3)
    else:
        assert len(table) == 12
        assert table["value"].sum() == pytest.approx(4, abs=1e-3)


def test_picture_of_a_view_is_saved(explore):
    page = explore(experiment="mainline", epoch=4300)
    with page.page.expect_download() as started:
        page.card("losses").get_by_text("PNG").click()
    assert started.value.suggested_filename == "mainline_seed0_losses_epoch4300.png"
    picture = Image.open(started.value.path())
    assert picture.width > 1500
    assert np.asarray(picture.convert("L"), dtype=float).std() > 5


def test_all_cards_are_printed_in_light_colors(explore, tmp_path):
    page = explore(how={"color_scheme": "dark"}, experiment="mainline", epoch=4300)
    assert page.page.locator("#logits .plot .main-svg").count() == 0
    page.page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    for view in VIEWS:
        assert page.page.locator(f"#{view} .plot .main-svg").count() > 0, view
    card = luminance(page.page.evaluate("() => getComputedStyle(document.querySelector('.card')).backgroundColor"))
    assert card > 0.9
    assert page.page.locator("#printed").inner_text() == "mainline, seed0, epoch 4,300"
    for plot in page.page.locator(".plot").all():  # drawn at the width of the paper
        svg = plot.locator(".main-svg").first.bounding_box()
        assert svg["width"] == pytest.approx(plot.bounding_box()["width"], abs=2)
        assert svg["x"] + svg["width"] < 750
    page.page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
    card = luminance(page.page.evaluate("() => getComputedStyle(document.querySelector('.card')).backgroundColor"))
    assert card < 0.1


def test_logarithmic_axis_of_the_weights_says_so(explore):
    page = explore(experiment="mainline")
    page.card("sparsity")
    title = page.page.evaluate("() => document.querySelector('#sparsity .plot').layout.yaxis.title.text")
    assert title == "Sum of squares, log scale"


ARTICLE_PAGE = """<!doctype html><html><head><meta charset="utf-8"></head><body><p>Before training:
<a href="#x" data-choice="epoch=0">epoch 0</a></p><div data-view="norms-W_E"><img alt="still"></div>
<div data-view="interference"></div>"""


def test_views_stand_in_a_page_of_text(explore, cubes, tmp_path):
    time_bar, end = article_parts(cubes["mainline"].sel(run=["seed0"]))
    path = tmp_path / "article.html"
    path.write_text(f"{ARTICLE_PAGE}{time_bar}{end}</body></html>", encoding="utf-8")
    page = explore(file=path).page
    assert page.locator(".card").count() == 2
    assert page.locator("img").count() == 0  # the view has replaced the picture
    expect(page.locator("#epoch")).to_have_text("epoch 14,000")
    page.get_by_role("link", name="epoch 0").click()
    expect(page.locator("#epoch")).to_have_text("epoch 0")
    expect(page.locator("#norms-W_E")).to_have_attribute("data-shown", re.compile("epoch=0&"))
    shown = page.evaluate("() => Array.from(document.querySelector('#norms-W_E .plot').data[0].y)")
    expected = cubes["mainline"].W_E_fourier_norm.sel(
        run="seed0", epoch=0, fourier_component=[f"cos {k}" for k in range(1, 57)]
    )
    np.testing.assert_allclose(shown, expected, rtol=2e-4)
    assert "epoch" not in page.url  # the address belongs to the text


def test_views_are_drawn_when_they_become_visible(explore):
    page = explore(experiment="mainline")
    assert page.page.locator("#losses .plot .main-svg").count() > 0
    assert page.page.locator("#logits .plot .main-svg").count() == 0
    page.card("logits")
    assert page.page.locator("#logits .plot .main-svg").count() > 0


RECORD_EPOCHS = """() => {
    const output = document.getElementById("epoch");
    window.seen = [];
    const watched = {childList: true, characterData: true, subtree: true};
    new MutationObserver(() => window.seen.push(output.value)).observe(output, watched);
}"""


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_play_shows_the_epochs_up_to_the_last(explore, cubes, motion):
    page = explore(how={"reduced_motion": motion}, experiment="mainline")
    page.page.select_option("#speed", "4")
    page.page.evaluate(RECORD_EPOCHS)
    page.page.click("#play")
    expect(page.page.locator("#play")).to_have_attribute("aria-label", "Play", timeout=60_000)
    shown_epochs = [
        int(text.removeprefix("epoch ").replace(",", "")) for text in page.page.evaluate("() => window.seen")
    ]
    page.at(epoch=14_000)
    assert shown_epochs[0] < 2000
    assert shown_epochs == sorted(shown_epochs)
    assert shown_epochs[-1] == page.epoch() == 14_000
    assert set(shown_epochs) <= set(cubes["mainline"].epoch.values.tolist())
    if motion == "reduce":  # in 32 steps on every machine
        positions = cubes["mainline"].indexes["epoch"].get_indexer(shown_epochs[:-1])
        assert (positions % round(140 / 32) == 0).all()
    else:
        assert len(shown_epochs) > 5


def test_address_follows_a_dragged_slider_and_a_held_key(explore):
    page = explore(experiment="mainline", epoch=14_000, range="story")
    box = page.page.locator("#slider").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.page.mouse.move(box["x"] + box["width"] - 8, middle)
    page.page.mouse.down()
    for fraction in (0.9, 0.7, 0.5):
        page.page.mouse.move(box["x"] + fraction * box["width"], middle)
    expect(page.page.locator("#epoch")).not_to_have_text("epoch 14,000")
    assert page.at()["epoch"] == "14000"
    page.page.mouse.up()
    page.at(epoch=page.epoch())
    assert abs(page.epoch() - 7000) <= 200
    before = page.epoch()
    for _ in range(3):  # pressing again without releasing repeats the key
        page.page.keyboard.down("ArrowLeft")
    page.page.keyboard.up("ArrowLeft")
    page.at(epoch=before - 300)


def test_play_pauses_at_the_current_epoch(explore):
    page = explore(experiment="mainline", epoch=0)
    page.press("Space")
    play, output = page.page.locator("#play"), page.page.locator("#epoch")
    expect(play).to_have_attribute("aria-label", "Pause")
    expect(output).not_to_have_text("epoch 0")
    page.press("Space")
    expect(play).to_have_attribute("aria-label", "Play")
    stopped = page.epoch()
    assert 0 < stopped < 14_000
    page.at(epoch=stopped)
    page.press("ArrowRight")
    page.at(epoch=stopped + 100)


def test_another_run_is_shown(explore, cubes):
    page = explore(experiment="mainline")
    page.page.select_option("#run", "seed3")
    page.at(run="seed3")
    assert list(page.numbers("norms-W_E")) == ["k = 1", "k = 27", "k = 38"]
    assert page.page.locator("#summary").text_content() == f"seed3: {summaries(cubes['mainline'])['seed3']}"
    assert "only for the first run, seed0" in page.card("neuron").locator(".absent").inner_text()
    attention = np.array(page.traces("attention")[0]["z"])
    expected = attention_map(cubes["mainline"], 0, run="seed3").sel(position="a")
    np.testing.assert_allclose(attention, expected, atol=2e-3)
    page.page.select_option("#run", "seed0")
    assert page.card("neuron").locator(".plot").is_visible()


def test_another_experiment_is_shown(explore, cubes):
    page = explore()
    assert page.at()["experiment"] == "mainline"
    page.page.select_option("#experiment", "subtraction")
    page.at(experiment="subtraction", run="seed999", epoch=0)
    assert shows(page.numbers("losses")["train"], float(cubes["subtraction"].train_loss[0, 0]))


def test_link_restores_the_view(explore):
    choice = {"experiment": "mainline", "run": "seed0", "epoch": 5200, "neuron": 423, "head": 2, "a": 7, "b": 99}
    linked, restored = explore(**choice), explore()
    linked.at(**choice)
    shown = {view: linked.traces(view) for view in VIEWS}
    address = linked.page.url.partition("#")[2]
    restored.page.evaluate("(address) => { location.hash = address; }", address)
    restored.at(**choice)
    for view in VIEWS:
        assert json.dumps(restored.traces(view)) == json.dumps(shown[view]), view


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"experiment": "nothing", "run": "nobody"}, {"experiment": "mainline", "run": "seed0"}),
        ({"epoch": -5, "neuron": 99_999, "head": -1}, {"neuron": 511, "head": 0}),
        ({"epoch": 1e9, "a": 113, "b": "x"}, {"epoch": 40_000, "range": "all", "a": 112, "b": 45}),
        ({"epoch": "4.25e3", "range": "soon", "color": "red"}, {"epoch": 4200}),
    ],
)
def test_invalid_link_is_corrected(explore, wrong, right):
    page = explore(**wrong)
    page.at(**right)
    page.card("neuron")


def test_every_action_has_a_key(explore, cubes):
    page = explore(experiment="mainline", epoch=4000)
    for key, choice in (
        ("ArrowRight", {"epoch": 4100}), ("Shift+ArrowRight", {"epoch": 5100}), ("ArrowLeft", {"epoch": 5000}),
        ("Home", {"epoch": 0}), ("ArrowLeft", {"epoch": 0}), ("End", {"epoch": 14_000}), ("h", {"head": 1}), ("H", {"head": 0}),
        ("H", {"head": 3}), ("]", {"run": "seed1"}), ("]", {"run": "seed2"}), ("[", {"run": "seed1"}), ("[", {"run": "seed0"}),
        ("p", {"a": (17 * 5 + 7) % 113}), ("c", {"beside": "seed1"}),
        ("2", {"step": 2, "epoch": 4300}), ("1", {"step": 1, "epoch": 1000}),
    ):  # fmt: skip
        page.press(key)
        page.at(**choice)
    stored_neurons = cubes["mainline"].kept_neuron.values.tolist()
    position = stored_neurons.index(int(page.at()["neuron"]))
    page.press("n")
    page.at(neuron=stored_neurons[(position + 1) % len(stored_neurons)])
    page.press("N", "N")
    page.at(neuron=stored_neurons[position - 1])


def test_controls_are_reached_and_used_with_tab(explore):
    page = explore(experiment="mainline")
    reached = []
    for _ in range(40):
        page.press("Tab")
        reached.append(
            page.page.evaluate(
                "() => document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)"
            )
        )
        if "speed" in reached:
            break
    order = [name for name in reached if name in ("experiment", "run", "play", "slider", "range", "speed")]
    assert order == ["experiment", "run", "play", "slider", "range", "speed"]
    page.page.locator("#slider").focus()
    page.press("ArrowRight")
    page.at(epoch=100)
    page.page.locator("#run").focus()
    page.press("ArrowDown")
    page.at(run="seed1")


def test_click_on_a_map_selects_the_pair_and_on_a_point_the_neuron(explore):
    page = explore(experiment="mainline", epoch=14_000, range="story")
    for view, name in (("attention", "a"), ("neurons", "neuron"), ("losses", "epoch")):
        before = page.at()[name]
        page.card(view)
        area = page.page.locator(f"#{view} .nsewdrag").first.bounding_box()
        if view == "neurons":
            point = page.page.locator("#neurons .point").nth(10).bounding_box()
            x, y = point["x"] + point["width"] / 2, point["y"] + point["height"] / 2
        else:
            x, y = area["x"] + 0.7 * area["width"], area["y"] + 0.5 * area["height"]
        page.page.mouse.move(x - 3, y - 3)
        page.page.mouse.move(x, y)
        page.page.mouse.click(x, y)
        expect(page.page).not_to_have_url(re.compile(rf"[#&]{name}={before}(&|$)"))
    assert int(page.at()["epoch"]) == pytest.approx(0.7 * 14_000, abs=200)


def test_views_name_missing_variables(explore, cubes):
    page = explore(experiment="skip_trigram")
    assert set(page.numbers("losses")) == {"train", "test"}
    for view in VIEWS[2:]:
        text = page.card(view).locator(".absent").inner_text()
        missing = re.search(r"Not in this cube: (.+?)\.", text)[1].split(", ")
        assert missing
        assert not set(missing) & set(cubes["skip_trigram"].data_vars)
        assert page.page.locator(f"#{view} .plot").is_hidden()
    page.press("p", "n", "h", "]", "c", "4", "ArrowRight")
    page.at(epoch=cubes["skip_trigram"].epoch.values[1])
    assert page.page.locator("#steps button").nth(3).is_disabled()


def test_views_say_that_a_run_has_no_key_frequencies(explore):
    page = explore(experiment="no_weight_decay")
    assert "no key frequencies" in page.card("interference").locator(".absent").inner_text()
    assert "no key frequencies" in page.note("embedding")
    assert len(page.traces("embedding")) == 4


def test_any_cube_is_shown_completely(explore, results, tmp_path):
    """The small network of the tests, p = 13, stands for a quickstart or an imported network."""
    cube = open_cube(results / "results/small/cube.zarr").load()
    write_page([cube], tmp_path / "small.html")
    page = explore(file=tmp_path / "small.html")
    for run in cube.run.values:
        page.page.select_option("#run", str(run))
        at_epoch = cube.sel(run=run, epoch=int(page.at(run=run)["epoch"]))
        assert shows(page.numbers("losses", run=run)["test"], float(at_epoch.test_loss))
        for view in VIEWS:
            page.card(view)
    page.page.select_option("#run", "seed0")
    page.page.select_option("#range", "all") if page.page.locator("#range").is_enabled() else None
    page.press("End")
    last = int(cube.epoch[-1])
    shown = np.array(page.traces("neuron", run="seed0", epoch=last)[0]["z"])
    expected = neuron_map(cube, int(page.at()["neuron"])).values
    np.testing.assert_allclose(shown, expected, atol=2e-3 * max(1e-9, expected.max()))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The page of a published cube whose runs stopped early, and the cube: run 0 at epoch 9,000, run 5 at 4,500."""
    if not (ROOT / published_cube("accelerators")).exists():
        pytest.skip("no published cube of accelerators")
    cube = open_cube("accelerators", published=True).isel(run=[0, 3, 5]).load()
    assert cube.stopped_at.values.tolist() == [9000, 11_000, 4500]
    path = tmp_path_factory.mktemp("stopped") / "index.html"
    write_page([cube], path)
    return path, cube


def test_run_that_stopped_early_ends_at_its_own_last_checkpoint(explore, stopped):
    path, cube = stopped
    run = str(cube.run.values[0])
    page = explore(file=path, run=run, epoch=24_000, range="all", beside="")
    page.at(epoch=9000)
    assert page.page.locator("#range option").nth(1).inner_text() == "to 9,000"
    assert int(page.page.locator("#slider").get_attribute("max")) == (cube.epoch.values < 9000).sum()
    last = cube.sel(run=run, epoch=9000)
    in_a_cluster = int((last.neuron_fraction_explained >= 0.85).sum())
    assert page.numbers("neurons")["at 85 % or more"] == f"{in_a_cluster} of 512"
    assert in_a_cluster > 0
    assert page.traces("losses")[0]["x"][-1] == 9000
    frequency = int(last.neuron_frequency[int(page.at()["neuron"])])
    assert page.numbers("neuron")["frequency"] == str(frequency)
    assert f", k = {frequency}" in page.page.locator("#neuron select option:checked").inner_text()
    norms = page.page.evaluate("() => document.querySelector('#norms-W_E .plot').layout.yaxis.range")
    highest = cube.W_E_fourier_norm.sel(run=run).isel(fourier_component=slice(1, None)).max()
    assert norms[1] == pytest.approx(1.12 * float(highest), rel=1e-3)
    page.page.locator("#steps button").nth(3).click()
    page.at(step=4, epoch=9000)
    page.press("]")
    page.at(run=str(cube.run.values[1]), epoch=9000)
    assert page.held("embedding") == "Does not follow the slider. Stored and shown: only epoch 11,000, the last."
    page.press("End")
    page.at(epoch=11_000)
    assert page.held("embedding") == ""


def test_run_beside_that_stopped_earlier_is_shown_at_its_last_checkpoint(explore, stopped):
    path, cube = stopped
    first, _, beside = map(str, cube.run.values)
    page = explore(file=path, run=first, epoch=9000, range="all", beside=beside)
    last = cube.sel(run=beside, epoch=4500)
    for view in VIEWS:
        titles = page.card(view, beside=beside).locator("h3").all_inner_texts()
        assert titles == [first, f"{beside}, ended at epoch 4,500; shown: its last checkpoint"]
    numbers = page.page.locator("#neurons .numbers").nth(1).inner_text()
    assert f"{int((last.neuron_fraction_explained >= 0.85).sum())} of 512" in numbers
    points = page.page.evaluate("() => Array.from(document.querySelectorAll('#neurons .plot')[1].data[0].y)")
    np.testing.assert_allclose(points, last.neuron_fraction_explained, atol=6e-4)
    page.page.locator("#slider").focus()
    page.press("Home")
    page.at(epoch=0)
    assert page.card("neurons").locator("h3").all_inner_texts() == [first, beside]


def test_view_without_values_at_a_checkpoint_says_so(explore, cubes, tmp_path):
    """As with `keep`, if the code of the measure has changed since the run trained."""
    cube = cubes["mainline"].sel(run=["seed0"])
    fractions = cube.neuron_fraction_explained.where(cube.epoch != 9000)
    write_page([cube.assign(neuron_fraction_explained=fractions)], tmp_path / "page.html")
    page = explore(file=tmp_path / "page.html", epoch=9000)
    assert page.card("neurons").locator(".absent").inner_text() == "The cube has no values at epoch 9,000."
    numbers = page.numbers("neuron")
    assert (numbers["frequency"], numbers["variance explained"]) == ("–", "–")
    page.press("ArrowRight")
    page.at(epoch=9100)
    assert "at 85 % or more" in page.numbers("neurons")


def test_each_run_has_the_sign_of_its_own_task(explore, cubes, tmp_path):
    """As in a grid of operations. The task of a run decides the sign, not what its network computes."""
    cube = cubes["mainline"].sel(run=["seed0", "seed3"]).drop_vars("prime")
    settings = {"task": ("run", ["operation"] * 2), "modulus": ("run", [113] * 2)}
    settings["expression"] = ("run", ["a+b", "a-b"])
    write_page([cube.assign_coords(settings).assign_attrs(task="operation")], tmp_path / "page.html")
    page = explore(file=tmp_path / "page.html", epoch=14_000, a=20, b=100, beside="seed3")
    page.card("interference")
    sums = page.page.evaluate(
        "() => [...document.querySelectorAll('#interference .plot')].map((plot) => plot.layout.annotations[0].text)"
    )
    assert sums == ["<b>20 + 100 = 7</b>", "<b>20 − 100 = 33</b>"]
    page.page.select_option("#run", "seed3")
    page.at(run="seed3")
    assert "20 − 100 = 33" in page.page.locator("#steps button").nth(3).inner_text()


def test_each_run_has_the_prime_of_its_own_task(explore, results, tmp_path):
    """As in a grid of primes, the cube has NaN at the operands and frequencies that the smaller prime lacks."""
    cube = open_cube(results / "results/small/cube.zarr").load()
    components = (*(dim for dim in cube.dims if str(dim).startswith("fourier_component")), "token")
    primes = cube.assign_coords(prime=("run", [13, 11]))
    for name, variable in primes.data_vars.items():
        for dim in set(components) & set(variable.dims) if "run" in variable.dims else ():
            lacks = np.isin(np.arange(cube.sizes[dim]), (11, 12)) & (cube[dim].values != "=")
            primes[name] = primes[name].where(~xr.DataArray(lacks, dims=dim) | (primes.run == "seed0"))
    write_page([primes], tmp_path / "page.html")
    page = explore(file=tmp_path / "page.html", run="seed0", epoch=400, range="all", a=12, b=3, beside="seed1")
    attention = attention_map(cube, 0, run="seed1").sel(position="a").values[:11, :11]
    for view in VIEWS:
        page.card(view, beside="seed1")
    plots = page.page.evaluate(
        """() => Object.fromEntries(["attention", "logits", "norms-W_E", "embedding"].map((id) => {
            const { data } = document.querySelectorAll(`#${id} .plot`)[1];
            return [id, (data[0].z ?? [data[0].y]).map((row) => Array.from(row))];
        }))"""
    )
    np.testing.assert_allclose(plots["attention"], attention, atol=2e-3)
    assert np.isfinite(np.array(plots["logits"], dtype=float)).all()
    assert [np.shape(plots[name]) for name in ("logits", "norms-W_E", "embedding")] == [(11, 11), (1, 5), (1, 11)]
    page.page.select_option("#beside", "")
    page.page.select_option("#run", "seed1")
    page.at(run="seed1", a=10, b=3)


def test_single_checkpoint_is_shown(explore, cubes, tmp_path):
    """The cube has only the last checkpoint, as after an import of a single file."""
    cube = cubes["mainline"].sel(run=["seed0"]).isel(epoch=[-1])
    last_only = cube.drop_vars([name for name, variable in cube.data_vars.items() if "moment" in variable.dims])
    write_page([last_only], tmp_path / "one.html")
    page = explore(file=tmp_path / "one.html")
    for view in VIEWS:
        page.card(view, epoch=40_000)
    page.press("ArrowLeft", "Home", "Space")
    page.at(epoch=40_000)
    assert len(page.traces("embedding")) == 4
    assert np.array(page.traces("neuron")[0]["z"]).max() > 1


@pytest.mark.parametrize(
    "name", ["integer_addition", "data_fraction_high", "prime_53", "five_digit_addition", "skip_trigram_finite"]
)
def test_other_published_cubes_are_shown(explore, name, tmp_path):
    cube = cube_if_any(name, published=True) if (ROOT / published_cube(name)).exists() else None
    if cube is None:
        pytest.skip(f"no published cube of {name}")
    write_page([cube.load()], tmp_path / "page.html")
    page = explore(file=tmp_path / "page.html")
    for run in cube.run.values[:: max(1, cube.sizes["run"] - 1)]:
        page.page.select_option("#run", str(run))
        at_epoch = cube.sel(run=run, epoch=int(page.at(run=run)["epoch"]))
        assert shows(page.numbers("losses", run=run)["train"], float(at_epoch.train_loss))
        for view in VIEWS:
            page.card(view)


def test_spectrum_of_logits_has_one_component_more_than_an_even_number_of_operand_values(explore, tmp_path):
    cube = open_cube("addition_even", published=True).load()
    write_page([cube], tmp_path / "page.html")
    norms = cube.logit_fourier_norm_2d.isel(run=0).values.copy()
    assert norms.shape == (115, 115)
    norms[0, 0] = 0
    page = explore(file=tmp_path / "page.html", epoch=int(cube.epoch[-1]), range="all")
    drawn = page.traces("logits")[0]["z"]
    np.testing.assert_allclose(np.array(drawn) ** 2, norms / norms.max(), rtol=6e-3)


def test_swipe_over_a_plot_scrolls_the_page(explore):
    page = explore(how=PHONE, experiment="mainline")
    box = page.card("norms-W_E").locator(".plot").bounding_box()
    before = page.page.evaluate("() => scrollY")
    touch = page.page.context.new_cdp_session(page.page)
    x, y = box["x"] + box["width"] / 2, 400
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for up in range(20, 220, 20):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - up}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.page.wait_for_function("(before) => scrollY > before + 100", arg=before)


TOO_WIDE = """() => [...document.querySelectorAll(".card, .time, header, select, input")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.id)"""
SMALLEST_TYPE = """() => Math.min(...[...document.querySelectorAll("p, span, b, label, select, .plot text")]
    .filter((e) => e.textContent.trim() && e.getClientRects().length).map((e) => parseFloat(getComputedStyle(e).fontSize)))"""


@pytest.mark.parametrize("how", [{}, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_legible(explore, how, scheme):
    """Nothing is wider than the screen, text has a contrast of at least 4.5, and the colors follow the reader's color scheme."""
    page = explore(how=how | {"color_scheme": scheme}, experiment="mainline", run="seed0")
    for view in VIEWS:
        page.card(view)
    wide = page.page.evaluate(TOO_WIDE)
    assert wide == []
    assert page.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    ground = luminance(page.page.evaluate("() => getComputedStyle(document.body).backgroundColor"))
    assert ground < 0.05 if scheme == "dark" else ground > 0.85
    card = luminance(page.page.evaluate("() => getComputedStyle(document.querySelector('.card')).backgroundColor"))
    for selector in (
        "h1",
        "#title",
        "#summary",
        "h2",
        ".about",
        ".note",
        ".numbers span",
        ".numbers b",
        "label",
        "#epoch",
        "footer p",
    ):
        color = page.page.evaluate("(s) => getComputedStyle(document.querySelector(s)).color", selector)
        assert min(contrast(luminance(color), ground), contrast(luminance(color), card)) >= 4.5, selector
    smallest = page.page.evaluate(SMALLEST_TYPE)
    assert smallest >= 11
    for text in page.page.locator("#losses .plot text").all()[:3]:
        fill = page.page.evaluate("(e) => getComputedStyle(e).fill", text.element_handle())
        assert contrast(luminance(fill), card) >= 4.5
    if how:
        assert page.page.locator("#play").bounding_box()["height"] >= 40
        assert page.page.locator("#slider").bounding_box()["width"] >= 120


def luminance(color):
    """Return the relative luminance of `rgb(r, g, b)`, as defined in the Web Content Accessibility Guidelines."""
    parts = np.array([float(part) for part in re.findall(r"[\d.]+", color)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first, second):
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


def test_colors_change_with_the_readers_color_scheme(explore):
    page = explore(how={"color_scheme": "light"}, experiment="mainline")
    before = page.traces("losses")[0]["line"]["color"]
    page.page.emulate_media(color_scheme="dark")
    expect(page.page.locator("#losses .plot .lines path").first).not_to_have_css("stroke", "rgb(0, 114, 178)")
    assert page.traces("losses")[0]["line"]["color"] != before


def test_doubtful_import_is_marked(explore, cubes, tmp_path):
    """The note is visible for the experiment that it concerns, and for no other."""
    doubts = ["train_acc is 0.6 in the file, and we compute 1", "d_model is 128 in the file"]
    path = tmp_path / "doubtful.html"
    doubtful = cubes["subtraction"].copy()
    origin = {"file": "f.pth", "format": "", "recognized": [], "assumed": [], "doubts": doubts}
    doubtful.attrs = cubes["subtraction"].attrs | {"imported": json.dumps(origin), "experiment": "theirs"}
    write_page([doubtful, cubes["no_weight_decay"]], path)
    page = explore(file=path, experiment="theirs")
    note = page.page.locator("#doubts")
    expect(note).to_be_visible()
    expect(note).to_have_text(f"DOUBTFUL import of theirs: {doubts[0]}; {doubts[1]}.")
    page.page.locator("#experiment").select_option("no_weight_decay")
    page.at(experiment="no_weight_decay")
    expect(note).to_be_hidden()


def test_mainline_page_is_small(explore, cubes, tmp_path, record_property, capsys):
    """The size has a limit. The time until the first view depends on the machine and is only reported."""
    path = tmp_path / "mainline.html"
    write_page([cubes["mainline"]], path)
    size = path.stat().st_size
    assert size <= LIMIT
    page = explore(file=path)
    first = page.page.evaluate("() => performance.getEntriesByName('first view')[0].startTime")
    record_property("first_view_ms", round(first))
    record_property("bytes", size)
    with capsys.disabled():
        print(f"\nexplorer of the mainline: {size / 1e6:.1f} MB, first view after {first / 1000:.1f} s")
