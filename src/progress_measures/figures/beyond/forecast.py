"""Beyond the paper: when a run will grok, told from its progress measures beforehand."""

import numpy as np

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, nothing_to_draw, panel_letters
from progress_measures.forecast import EXPERIMENTS, METHODS, VARIABLES, at_share, leave_one_out, trajectories, wrong_by

SHARES = np.linspace(0.05, 1, 39)
LOOKS = {
    "other runs' mean": {"color": COLORS["other"], "lw": 1.3},
    "train loss": {"color": COLORS["train"], "lw": 1.3},
    "weight norm": {"color": COLORS["weights"], "lw": 1.3},
    "progress measures": {"color": COLORS["restricted"], "lw": 2.2},
}


@figure(
    title="Forecast of grokking",
    reference="not in the sources",
    experiment=EXPERIMENTS,
    variables=VARIABLES,
    size=(6.8, 3.2),
)
def draw(fig, *cubes):
    """At each epoch of a run, the epoch at which its test loss will fall below 1 is predicted from measures up to then,
    by a ridge regression fitted to all other runs. Left: by what factor the prediction is off, the median over runs,
    against how far the run is on its way; shaded, the middle half of runs for the progress measures. Right: the prediction
    at half way against what came; the dotted line is the truth, the gray band a factor of 1.5.
    """
    told, _ = trajectories(cubes)
    if len(told) < 2:
        nothing_to_draw(fig.subplots(), "No two runs that generalize late")
        return
    left, right = fig.subplots(1, 2, width_ratios=(1.2, 1))
    for method in METHODS:
        predicted = leave_one_out(told, method)
        factors = np.array(
            [
                [at_share(one, wrong_by(one, p), share) for share in SHARES]
                for one, p in zip(told, predicted, strict=True)
            ]
        )
        low, median, high = np.nanpercentile(factors, [25, 50, 75], axis=0)
        left.plot(SHARES, median, label=method, **LOOKS[method])
        if method == "progress measures":
            left.fill_between(SHARES, low, high, color=LOOKS[method]["color"], alpha=0.15, lw=0)
            half_way = [at_share(one, p, 0.5) for one, p in zip(told, predicted, strict=True)]
    left.set(xlabel="Epoch, as a share of the way to grokking", ylabel="Forecast off by a factor of", xlim=(0, 1))
    left.set(yscale="log", yticks=(1, 1.5, 2, 3, 5, 10), yticklabels=("1", "1.5", "2", "3", "5", "10"))
    left.set_ylim(1, None)
    left.minorticks_off()
    left.legend(loc="upper right")
    left.set_title(f"{len(told)} runs, each left out in turn")
    _scatter(right, told, half_way)
    panel_letters([left, right])


def _scatter(ax, told, predicted):
    """Predictions against what came, an experiment a color."""
    ends = np.array([min(one.groks for one in told) / 1.6, max(one.groks for one in told) * 1.6])
    ax.fill_between(ends, ends / 1.5, ends * 1.5, color="#EEEEEE", lw=0)
    ax.plot(ends, ends, color="#888888", lw=0.8, ls=":")
    names = list(dict.fromkeys(one.experiment for one in told))
    for name, color, marker in zip(
        names, ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#333333"), "osD^vP", strict=False
    ):
        chosen = [i for i, one in enumerate(told) if one.experiment == name]
        ax.plot([told[i].groks for i in chosen], [predicted[i] for i in chosen], marker, color=color, ms=4, label=name)
    ax.set(
        xscale="log", yscale="log", xlim=ends, xlabel="Test loss below 1 at epoch", ylabel="As foretold half way there"
    )
    ticks = [tick for tick in (200, 1000, 5000, 20000, 100000) if ends[0] < tick < ends[1]]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set_ylim(ends)
    ax.minorticks_off()
    ax.legend(loc="upper left", handlelength=0.8)
    ax.set_title("Progress measures, half way")
