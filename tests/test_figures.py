"""Every figure: its declaration, that it draws from what it declares alone, and the same bytes each time."""

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from small import command, own_cubes

from progress_measures.cube.open import open_cube
from progress_measures.cube.select import select
from progress_measures.errors import UserError
from progress_measures.experiments import experiment_names
from progress_measures.figures import figure_ids, load_figure
from progress_measures.figures.drawing import FORMATS, draw, mark_lone_points
from progress_measures.figures.style import COLOURS, frequency_colours, label


@pytest.fixture
def cube(results):
    return open_cube(results / "results/small/cube.zarr")


@pytest.mark.parametrize("name", figure_ids())
def test_every_figure_is_declared_whole(name):
    figure = load_figure(name)
    assert figure.id == name
    assert figure.title
    assert figure.reference
    assert len(figure.caption) > 40
    assert figure.variables
    assert set(figure.experiments) <= set(experiment_names())


def drawn(name, *cubes):
    """A figure's axes, drawn from what it declares alone."""
    figure, canvas = load_figure(name), Canvas(figsize=(6, 4))
    figure.draw(canvas, *(select(cube, figure.variables, name) for cube in cubes))
    return canvas.axes


def what_small_lacks(name, cube):
    """The variables of a figure that networks of the small experiment do not have."""
    return [variable for variable in load_figure(name).variables if variable not in cube]


def says_that_nothing_is_there(ax):
    return any(text.get_text().startswith("No ") for text in ax.texts)


@pytest.mark.parametrize("name", figure_ids())
def test_every_figure_of_its_own_cube_is_full(name):
    own = own_cubes(load_figure(name))
    assert not any(says_that_nothing_is_there(ax) for ax in drawn(name, *own))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", figure_ids())
def test_every_figure_draws_with_labelled_axes(name, cube):
    if what_small_lacks(name, cube):  # of another task: it says so
        with pytest.raises(UserError, match=f"reads {what_small_lacks(name, cube)[0]}"):
            drawn(name, cube)
        return
    axes = drawn(name, *[cube] * len(load_figure(name).experiments))
    assert axes
    for ax in axes:
        if says_that_nothing_is_there(ax):
            continue
        if ax.get_label() == "<colorbar>":
            assert ax.get_xlabel() or ax.get_ylabel(), "a colour bar without a label"
            continue
        shared = ax.get_shared_x_axes().get_siblings(ax)
        assert any(sibling.get_xlabel() for sibling in shared), "no label along x"
        assert ax.get_ylabel() or any(other.get_ylabel() for other in axes), "no label along y"
        assert ax.has_data()


@pytest.mark.parametrize("name", figure_ids())
def test_the_same_cube_gives_the_same_bytes(name, cube, tmp_path):
    figure = load_figure(name)
    if what_small_lacks(name, cube):
        cube = own_cubes(figure)[0]
    for turn in ("first", "second"):
        draw(figure, [cube] * len(figure.experiments), [tmp_path / turn / f"figure.{kind}" for kind in FORMATS])
    for kind in FORMATS:
        assert (tmp_path / f"first/figure.{kind}").read_bytes() == (tmp_path / f"second/figure.{kind}").read_bytes()


def test_a_missing_variable_is_named(cube, tmp_path):
    with pytest.raises(UserError, match=r"paper/fig07 reads excluded_loss"):
        draw(load_figure("paper/fig07"), [cube.drop_vars("excluded_loss")], [tmp_path / "fig07.png"])
    assert not list(tmp_path.iterdir())


def test_an_unknown_figure_is_told_what_there_is():
    with pytest.raises(UserError, match="Did you mean 'paper/fig07'"):
        load_figure("paper/fig77")


def test_key_frequencies_keep_their_colours(cube):
    keys = cube.key_frequency.copy(data=cube.key_frequency.values | True)
    colours = frequency_colours(cube.assign(key_frequency=keys), "seed0")
    assert list(colours) == cube.frequency.values.tolist()
    assert len(set(colours.values())) == len(colours)


def test_colours_mean_one_thing():
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_labels_have_units(cube):
    assert label(cube.test_loss) == "Test loss (nat)"
    assert label(cube.gini_W_E) == "Gini coefficient of W_E"


def test_the_command_line_draws(results, tmp_path):
    done = command("draw", "paper/fig07", "--experiment", "small", folder=results)
    assert done.returncode == 0, done.stderr
    for kind in FORMATS:
        assert (results / f"results/small/figures/paper/fig07.{kind}").stat().st_size > 5000


def test_a_curve_of_one_point_is_a_dot():
    canvas = Canvas()
    ax = canvas.subplots()
    for values in ([np.nan, 1.0, np.nan], [1.0, 2.0, np.nan]):
        ax.plot(range(3), values)
    mark_lone_points(canvas)
    assert [line.get_marker() for line in ax.get_lines()] == ["o", "None"]
