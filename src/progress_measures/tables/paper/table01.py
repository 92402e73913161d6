"""Table 1: what W_L reads off the neurons is cos and sin of w(a + b)."""

from progress_measures.claims.quantities.mechanism import readout_rows
from progress_measures.tables.published import both, published, side_by_side
from progress_measures.tables.registry import table

COLUMNS = ("W_L along", "first", "second", "single", "FVE")
FORMATS = both({"first": ".1f", "second": ".1f", "single": ".1f", "FVE": ".1%"})
VARIABLES = ("readout_product_coefficient", "readout_coefficient", "readout_fraction_explained", "key_frequency")


def as_published(claim):
    """The ledger's rows under our columns."""
    rows = []
    for row in published(claim):
        first, second = sorted(name for name in row if name.startswith("coef_"))
        if row["WL_component"].startswith("sin"):
            first, second = second, first  # sin a cos b comes first
        values = row["WL_component"], row[first], row[second], row["single_coef"], row["fve_percent"] / 100
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def as_measured(one):
    """The same of one run at its last checkpoint."""
    return [dict(zip(COLUMNS, (f"{wave}(w_{k} c)", *values), strict=True)) for k, wave, *values in readout_rows(one)]


@table(
    title="Waves read off the neurons by the neuron-logit map",
    reference="Nanda et al. 2023, Table 1",
    published=("paper",),
    variables=VARIABLES,
    formats=FORMATS,
)
def rows(cube):
    """The neurons along each direction of W_L. First and second are the coefficients on cos w_k a cos w_k b and
    sin w_k a sin w_k b where the direction is a cosine, on sin w_k a cos w_k b and cos w_k a sin w_k b where it is a sine.
    Single is the coefficient on cos w_k(a + b) or sin w_k(a + b) alone, FVE the share of the variance which that explains.
    Left the paper's network, right our first run, each with its own key frequencies k.
    """
    return side_by_side(as_published("paper.table1"), as_measured(cube.isel(run=0)))
