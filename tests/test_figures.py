"""Every figure: its declaration, drawing from declared variables only, and reproducible bytes."""

import ast
import html
import itertools
import re
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from PIL import Image

from progress_measures import fingerprint
from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.analysis.select import select, select_named_run, variables_of_first_run
from progress_measures.catalog import Catalog
from progress_measures.cube.open import open_cube
from progress_measures.errors import UserError
from progress_measures.experiments import experiment_names
from progress_measures.figures import figure_ids, load_figure
from progress_measures.figures.drawing import draw, show_known_points
from progress_measures.figures.interactive_page import curve_trace
from progress_measures.figures.plots.style import (
    COLORS,
    frequency_colors,
    label,
    label_edges,
    panels,
    runs_after_first,
)
from progress_measures.figures.registry import IMAGE_FORMATS, figure
from support.processes import command
from support.published_cubes import first_with_variables, published_cubes_of


@pytest.fixture(scope="module")
def cube(results):
    return open_cube(results / "results/small/cube.zarr")


@pytest.fixture(scope="module")
def shrunk(cube, integers):
    """Cubes of small networks for several tasks."""
    return [cube, open_cube(integers / "results/integers/cube.zarr")]


@pytest.mark.parametrize("name", figure_ids())
def test_every_figure_has_a_complete_declaration(name):
    figure = load_figure(name)
    assert figure.id == name
    assert figure.title
    assert figure.reference
    assert len(figure.caption) > 40
    assert "Args:" not in figure.caption, "the docstring of a shared drawing is no caption"
    assert figure.variables
    assert set(figure.experiments) <= set(experiment_names())


def drawn(name, *cubes):
    """Draw a figure from its declared variables only, and return its axes."""
    figure, canvas = load_figure(name), Canvas(figsize=(6, 4))
    figure.draw(canvas, *(select(cube, figure.variables, name) for cube in cubes))
    return canvas.axes


def missing_variables(name, cube):
    """Return the variables of a figure that a cube lacks."""
    return [variable for variable in load_figure(name).variables if variable not in cube]


def says_that_it_is_empty(ax):
    return any(text.get_text().startswith("No ") for text in ax.texts)


@pytest.mark.parametrize("name", figure_ids())
def test_every_figure_of_its_published_cubes_has_data(name):
    own = published_cubes_of(load_figure(name))
    assert not any(says_that_it_is_empty(ax) for ax in drawn(name, *own))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", figure_ids())
def test_every_figure_draws_with_labeled_axes(name, shrunk):
    cube = first_with_variables(load_figure(name), shrunk)
    if missing_variables(name, cube):  # it is for another task
        with pytest.raises(UserError, match=f"reads {missing_variables(name, cube)[0]}"):
            drawn(name, cube)
        return
    axes = drawn(name, *[cube] * len(load_figure(name).experiments))
    assert axes
    for ax in axes:
        if says_that_it_is_empty(ax):
            continue
        if ax.get_label() == "<colorbar>":
            assert ax.get_xlabel() or ax.get_ylabel(), "a color bar has no label"
            continue
        assert ax.has_data()
        if not ax.axison:  # a diagram
            continue
        shared = ax.get_shared_x_axes().get_siblings(ax)
        assert any(sibling.get_xlabel() for sibling in shared), "no label on the x axis"
        assert ax.get_ylabel() or any(other.get_ylabel() for other in axes), "no label on the y axis"


@pytest.mark.parametrize("name", figure_ids()[::5])
def test_equal_cubes_give_equal_bytes(name, shrunk, tmp_path):
    """Tested for every fifth figure as SVG, which contains all that is drawn, and every fifteenth in other formats."""
    figure = load_figure(name)
    cube = first_with_variables(figure, shrunk)
    if missing_variables(name, cube):
        cube = published_cubes_of(figure)[0]
    kinds = IMAGE_FORMATS if name in figure_ids()[::15] else ("svg",)
    for turn in ("first", "second"):
        draw(figure, [cube] * len(figure.experiments), [tmp_path / turn / f"figure.{kind}" for kind in kinds])
    for kind in kinds:
        assert (tmp_path / f"first/figure.{kind}").read_bytes() == (tmp_path / f"second/figure.{kind}").read_bytes()


def test_note_below_the_figure_names_missing_runs(cube, tmp_path):
    lacking = cube.assign_attrs(runs_missing=["seed7"])
    note = f"{cube.sizes['run']} of the {cube.sizes['run'] + 1} runs of small are trained."
    for name, source in (("whole", cube), ("lacking", lacking)):
        draw(load_figure("paper/fig07"), [source], [tmp_path / f"{name}.svg", tmp_path / f"{name}.html"])
        draw(load_figure(MOVING[0]), inputs_of(MOVING[0], source), [tmp_path / f"{name}.webp"])
    assert (tmp_path / "whole.webp").read_bytes() != (tmp_path / "lacking.webp").read_bytes()
    for kind in ("svg", "html"):
        assert note not in (tmp_path / f"whole.{kind}").read_text()
        assert note in (tmp_path / f"lacking.{kind}").read_text()


def test_missing_variable_is_named(cube, tmp_path):
    with pytest.raises(UserError, match=r"paper/fig07 reads excluded_loss"):
        draw(load_figure("paper/fig07"), [cube.drop_vars("excluded_loss")], [tmp_path / "fig07.png"])
    assert not list(tmp_path.iterdir())


def test_unknown_figure_suggests_a_known_one():
    with pytest.raises(UserError, match="Did you mean 'paper/fig07'"):
        load_figure("paper/fig77")


def test_key_frequencies_keep_their_colors(cube):
    keys = cube.key_frequency.copy(data=cube.key_frequency.values | True)
    colors = frequency_colors(cube.assign(key_frequency=keys), "seed0")
    assert list(colors) == cube.frequency.values.tolist()
    assert len(set(colors.values())) == len(colors)


def test_each_color_has_one_meaning():
    assert len(set(COLORS.values())) == len(COLORS)


def test_labels_have_units(cube):
    assert label(cube.test_loss) == "Test loss (nat)"
    assert label(cube.gini_W_E) == "Gini coefficient of W_E"


def test_command_line_draws(results, tmp_path):
    done = command("draw", "paper/fig07", "--experiment", "small", folder=results)
    assert done.returncode == 0, done.stderr
    for kind in IMAGE_FORMATS:
        assert (results / f"results/small/figures/paper/fig07.{kind}").stat().st_size > 5000
    assert done.stdout == "written: results/small/figures/paper/fig07.{pdf,png,svg,html}\n"


# ---- figures of one run


@pytest.mark.parametrize("name", [name for name in figure_ids() if len(load_figure(name).experiments) == 1][::3])
def test_figure_of_another_run_shows_this_run_or_is_refused(name, shrunk):
    """Tested for every third figure. A figure that selects runs by their settings would have an empty panel."""
    figure, cube = load_figure(name), first_with_variables(load_figure(name), shrunk)
    if missing_variables(name, cube) or cube.sizes["run"] == 1:
        pytest.skip("no small cube of several runs has what the figure reads")
    first, second, *_ = names = [str(run) for run in cube.run.values]
    of_first_run = variables_of_first_run(cube)
    if figure.several_runs or of_first_run & set(figure.variables):
        with pytest.raises(UserError, match=r"cannot be drawn of one run|which the cube of small has of seed0 only"):
            figure.check_run(second, "small", names, of_first_run)
        return
    texts = [text.get_text() for ax in drawn(name, select_named_run(cube, second)) for text in ax.texts]
    assert not any(first in text or text.startswith("No run") for text in texts)


def test_curves_of_another_run_are_its_own(cube, tmp_path):
    axes = drawn("paper/fig07", select_named_run(cube, "seed1"))
    (weights,) = (line for line in axes[3].get_lines() if len(line.get_ydata()) == cube.sizes["epoch"])
    assert np.array_equal(weights.get_ydata(), cube.sum_of_squared_weights.sel(run="seed1"))
    assert not np.array_equal(weights.get_ydata(), cube.sum_of_squared_weights.sel(run="seed0"))
    kinds = [tmp_path / f"fig07.{kind}" for kind in ("svg", "html")]
    draw(load_figure("paper/fig07"), [cube], kinds, run="seed1")
    for path in kinds:
        assert "Run seed1 of small." in path.read_text()
        assert "the first run" not in path.read_text()


@pytest.mark.parametrize(
    ("name", "run", "message"),
    [
        ("paper/fig04", "seed1", r"reads neuron_value_token, .* which the cube of small has of seed0 only"),
        ("paper/fig16", "seed1", "compares runs or selects them by their settings, so it cannot be drawn of one run"),
        ("paper/fig20", "seed1", "reads 3 cubes, so it cannot be drawn of one run"),
        ("paper/fig07", "seed9", "small has no run seed9; its runs are: seed0, seed1"),
    ],
)
def test_figure_that_cannot_be_of_a_run_says_why(cube, tmp_path, name, run, message):
    with pytest.raises(UserError, match=message):
        draw(load_figure(name), [cube] * len(load_figure(name).experiments), [tmp_path / "figure.png"], run)
    assert not list(tmp_path.iterdir())


def test_first_run_has_every_figure_of_one_run(cube, tmp_path):
    draw(load_figure("paper/fig04"), [cube], [tmp_path / "figure.png"], "seed0")
    assert (tmp_path / "figure.png").exists()


def test_command_line_draws_another_run_beside_the_first(results):
    done = command("draw", "paper/fig13", "--experiment", "small", "--run", "seed1", folder=results)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    stem, suffixes = re.fullmatch(r"written: (\S+)\.\{(\S+)\}", line).groups()
    assert stem == "results/small/figures/paper/fig13@seed1"
    assert {"pdf", "png", "svg"} <= set(suffixes.split(","))
    for suffix in suffixes.split(","):
        assert (results / f"{stem}.{suffix}").exists()


def test_command_line_prints_the_files_of_a_figure(results):
    line = ("draw", "paper/fig07", "--experiment", "small")
    done = command(*line, "--to", "results/one.png", folder=results)
    assert done.stdout == "written: results/one.png\n"
    done = command(*line, "--to", "results/one.png", "--to", "results/other.svg", folder=results)
    assert done.stdout == "written: results/one.png, results/other.svg\n"


# ---- medians, and axes that can be compared


@pytest.fixture(scope="module")
def stopped():
    """Runs that stopped early, measured while they trained: at few checkpoints, each has the measures of kept weights."""
    return open_cube("accelerators", published=True)


@pytest.mark.parametrize(
    "name",
    ["paper/fig07", "paper/fig13", "paper/fig14", "mod_addition/32_weights_total"],
)
def test_epoch_axis_ends_where_the_drawn_run_ends(stopped, name):
    axes = drawn(name, stopped)
    last = int(stopped.stopped_at[0])
    texts = " ".join(ax.get_xlabel() for ax in axes)
    assert f"{last:,}" in texts or max(ax.get_xlim()[1] for ax in axes) <= 1.1 * last
    assert f"{int(stopped.epoch[-1]):,}" not in texts


def test_median_ends_with_the_first_run(stopped):
    axes = drawn("paper/fig02", stopped)
    medians = [line for ax in axes for line in ax.get_lines() if line.get_linewidth() > 1.5]
    assert len(medians) == 4
    for line in medians:
        known = np.isfinite(line.get_ydata())
        assert line.get_xdata()[known][-1] == stopped.stopped_at.min()


def test_curve_of_excluded_loss_is_that_of_the_key_frequencies_if_it_has_gaps(stopped):
    (ax,) = drawn("paper/fig26", stopped)
    (curve,) = [line for line in ax.get_lines() if line.get_label() == "excluded"]
    np.testing.assert_array_equal(curve.get_ydata(), stopped.excluded_loss.isel(run=0))


@pytest.mark.parametrize("name", ["mod_addition/26_neuron_evolution", "mod_addition/27_quad_evolution"])
def test_panels_show_checkpoints_with_values(stopped, name):
    axes = [ax for ax in drawn(name, stopped) if ax.get_title().startswith("Epoch")]
    assert len(axes) == 4
    for ax in axes:
        points = np.concatenate([collection.get_offsets() for collection in ax.collections])
        assert np.isfinite(points).mean() > 0.9, "a neuron that is constant has no fractions"


def test_names_of_all_parameters_are_formulas():
    (ax,) = drawn("mod_addition/31_weights_by_parameter", open_cube("gelu_layer_norm", published=True))
    ax.figure.canvas.draw()
    labels = {line.get_label() for line in ax.get_lines()}
    assert {"$W_{E}$", r"$ln_{final\_w}$"} <= labels


def test_row_of_the_unembedding_is_drawn_by_place():
    (ax,) = drawn("mod_addition/21_W_U_row", open_cube("multiplication", published=True))
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), np.arange(113))


def test_last_vectors_of_the_basis_are_of_one_frequency():
    for name, k in (("addition_even", 56), ("subtraction", 56)):
        axes = drawn("subtraction/14_fourier_last2", open_cube(name, published=True))
        assert [ax.get_ylabel() for ax in axes] == [f"cos {k}", f"sin {k}"]


def test_first_figure_shows_the_operation_of_the_network():
    def titles(name):
        return [ax.get_title() for ax in drawn("paper/fig01", open_cube(name, published=True))]

    assert "a-b=69$ mod 113" in titles("subtraction")[1]
    assert "a+b=104$ mod 112" in titles("multiplication")[1]
    assert "a+b=106$ mod 113" in titles("mainline")[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("multiplication", ("(114 tokens → 128)", "(128 → 113)", "113 logits", "a*b mod 113?")),
        ("subtraction", ("(114 tokens → 128)", "(128 → 113)", "113 logits", "a - b mod 113?")),
        ("mainline", ("(114 tokens → 128)", "(128 → 113)", "113 logits", "a + b mod 113?")),
    ],
)
def test_architecture_has_the_sizes_of_the_network(name, expected):
    (ax,) = drawn("mod_addition/00_architecture", open_cube(name, published=True))
    texts = " ".join(text.get_text() for text in ax.texts)
    assert all(part in texts for part in expected)


def test_runs_after_the_first_are_those_after_the_first_of_the_experiment(cube):
    four = cube.isel(run=[0, 1, 0, 1]).assign_coords(run=["seed1", "seed2", "seed3", "seed4"])
    assert runs_after_first(four.assign_attrs(first_run="")) == ["seed1", "seed2", "seed3", "seed4"]
    assert runs_after_first(four.assign_attrs(first_run="seed1")) == ["seed2", "seed3", "seed4"]


def test_bold_curve_is_the_median_of_the_runs(cube):
    ax = drawn("paper/fig02", cube)[0]
    bold = max((line for line in ax.get_lines() if line.get_label() == "test"), key=lambda line: line.get_linewidth())
    assert np.allclose(bold.get_ydata(), cube.history_test_accuracy.median("run"))
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert legend == ["train", "test", "each run", f"median of {cube.sizes['run']} runs"]
    assert [text.get_text() for text in drawn("paper/fig02", cube.isel(run=[1]))[0].figure.legends[0].get_texts()] == [
        "train", "test",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["paper/fig07", "paper/fig20", "paper/fig28"])
def test_panels_of_losses_share_their_axes(name):
    panels_of_losses = [ax for ax in drawn(name, *published_cubes_of(load_figure(name))) if ax.get_yscale() == "log"]
    assert len({ax.get_ylim() for ax in panels_of_losses}) == 1
    assert len({ax.get_xlim() for ax in panels_of_losses}) == 1


def test_page_shades_the_phases_of_its_picture():
    (cube,) = published_cubes_of(load_figure("paper/fig07"))
    layout = load_figure("paper/fig07").page(cube)["layout"]
    ends = [float(cube[name].sel(run="seed0")) for name in PHASE_ENDS]
    assert [(shape["x0"], shape["x1"]) for shape in layout["shapes"]] == list(itertools.pairwise([0, *ends]))
    assert [note["text"] for note in layout["annotations"]] == ["memorization", "circuit formation", "cleanup"]


def test_lowest_panel_of_each_column_keeps_its_axis_labels():
    axes = panels(Canvas(), 5, columns=2, sharex=True)
    for ax in axes:
        ax.set(xlabel="x", ylabel="y")
    label_edges(axes, columns=2)
    assert [ax.get_xlabel() for ax in axes] == ["", "", "", "x", "x"]
    assert [ax.get_ylabel() for ax in axes] == ["y", "", "y", "", "y"]
    assert axes[3].xaxis.get_tick_params()["labelbottom"]


# ---- animations and interactive pages

MOVING = [name for name in figure_ids() if load_figure(name).animation]
WITH_PAGE = [name for name in figure_ids() if load_figure(name).page]


def inputs_of(name, cube):
    """Return a figure's variables from the small cube, or from its published cubes if that lacks any."""
    figure = load_figure(name)
    cubes = published_cubes_of(figure) if missing_variables(name, cube) else [cube] * len(figure.experiments)
    return [select(one, figure.variables, name) for one in cubes]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", MOVING)
def test_animation_has_the_drawn_frames_and_successive_frames_differ(name, cube, tmp_path):
    figure, parts = load_figure(name), inputs_of(name, cube)
    canvas = Canvas(figsize=figure.animation.size)
    expected = sum(1 for _ in figure.animation.frames(canvas, *parts))
    assert expected > 1
    assert all(ax.get_label() == "<colorbar>" or ax.get_title() + ax.get_title("left") for ax in canvas.axes)
    for turn in ("first", "second"):
        draw(figure, parts, [tmp_path / turn / "figure.webp"])
    assert (tmp_path / "first/figure.webp").read_bytes() == (tmp_path / "second/figure.webp").read_bytes()
    with Image.open(tmp_path / "first/figure.webp") as animation:
        assert animation.n_frames == expected
        assert animation.info["loop"] == 0  # loops forever
        pictures = []
        for place in range(expected):
            animation.seek(place)
            pictures.append(np.asarray(animation.convert("RGB")).astype(int))
    assert all(np.abs(one - other).max() > 60 for one, other in itertools.pairwise(pictures))


@pytest.mark.parametrize("name", WITH_PAGE)
def test_page_needs_only_the_library_beside_it(name, cube, tmp_path):
    figure, parts = load_figure(name), inputs_of(name, cube)
    draw(figure, parts, [tmp_path / "figure.html"])
    first = (tmp_path / "figure.html").read_text()
    draw(figure, parts, [tmp_path / "figure.html"])
    again = (tmp_path / "figure.html").read_text()
    assert hash(again) == hash(first)  # pytest takes long to show the difference of long texts
    assert re.findall(r'(?:src|href)="([^"]*)"', first) == ["plotly.min.js"], "it loads nothing from the network"
    assert first.index("default-src 'none'; script-src 'self'") < first.index("<script"), (
        "and its policy forbids loading later"
    )
    assert f"<h1>{html.escape(figure.title)}</h1>" in first
    assert len(figure.page.__doc__) > 40
    assert (tmp_path / "plotly.min.js").stat().st_size > 1_000_000
    assert all(len(curve["x"]) == len(curve["y"]) > 1 for curve in figure.page(*parts)["data"])


def test_figure_without_animation_is_not_written_as_one(results):
    done = command("draw", "paper/fig05", "--experiment", "small", "--to", "a.webp", folder=results)
    assert done.returncode == 2
    assert "--to a.webp: paper/fig05 is written as .pdf, .png, .svg." in done.stderr


def test_every_known_value_of_a_curve_is_visible():
    canvas = Canvas()
    ax = canvas.subplots()
    for values in ([np.nan, 1.0, np.nan], [1.0, 2.0, np.nan], [1.0, np.nan, 3.0]):
        ax.plot(range(3), values)
    show_known_points(canvas)
    assert [line.get_marker() for line in ax.get_lines()] == ["o", "None", "o"]
    np.testing.assert_array_equal(ax.get_lines()[2].get_xydata(), [[0, 1], [2, 3]])
    assert ax.get_lines()[2].get_linestyle() == ":"
    trace = curve_trace(range(3), [1.0, np.nan, 3.0], "test", "black")
    assert (trace["x"], trace["y"], trace["mode"]) == ([0, 2], [1, 3], "lines+markers")
    assert curve_trace(range(3), [1.0, 2.0, np.nan], "test", "black")["mode"] == "lines"


def test_module_without_a_figure_is_named():
    catalog = Catalog("figure", "progress_measures.figures", "draw")
    catalog.__dict__["_locations"] = {"paper/style": ("progress_measures.figures.plots.style", None)}
    with pytest.raises(
        UserError, match=r"style\.py declares no figure: expected a function `draw` decorated with `@figure"
    ):
        catalog.load("paper/style")


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    """A function of the source of a module that returns the catalog of a package with this module only."""

    def write(text):
        (tmp_path / "pictures").mkdir()
        (tmp_path / "pictures/__init__.py").touch()
        (tmp_path / "pictures/several.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "pictures", raising=False)  # from an earlier test
        tree = ast.parse(text)
        monkeypatch.setattr(fingerprint, "tree", lambda module: tree)
        return Catalog("figure", "pictures", "draw")

    return write


def test_ids_of_a_module_are_listed_without_importing_it(catalog):
    names = catalog(
        """
raise ImportError
figure("demo/second", "blog/same", plot=draw)

@figure("demo/first", title="A title")
def draw(fig, cube):
    pass

def no_figure():
    figure("demo/nested", plot=draw)
"""
    )
    assert names.ids() == ["blog/same", "demo/first", "demo/second"]
    assert names.ids("demo") == ["demo/first", "demo/second"]
    assert names.module("demo/first") == "pictures.several"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('figure("demo/one", plot=a)\nfigure("demo/one", plot=b)\n', "'demo/one' is declared twice"),
        ("figure(plot=a)\n", "pictures.several, line 1: expected literal ids"),
        ('\nfigure("demo/one", f"demo/{name}", plot=a)\n', "pictures.several, line 2: expected literal ids"),
    ],
)
def test_declaration_without_an_id_of_its_own_is_named(catalog, text, message):
    with pytest.raises(UserError, match=message):
        catalog(text).ids()


def test_figure_without_a_text_is_named():
    with pytest.raises(UserError, match="its title, caption or reference has neither the key 'demo/x' nor 'demo'"):
        figure("demo/x", plot=print, title={"blog": "A title"}, reference="", variables=())
