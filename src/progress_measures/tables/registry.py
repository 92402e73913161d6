"""The list of tables, and how one is declared. Importing it imports none of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from progress_measures.catalog import Catalog, id_of

if TYPE_CHECKING:
    import pandas as pd

_CATALOG = Catalog("table", "progress_measures.tables", "rows")
table_ids, table_module = _CATALOG.ids, _CATALOG.module


@dataclass(frozen=True)
class Table:
    """One table and its declaration.

    Attributes:
        id: source and name, as in `paper/table01`.
        title: what it shows, in a line.
        caption: how to read it, a few sentences.
        reference: the table that it makes anew.
        experiments: whose cubes it is made of.
        variables: what it reads of each cube; it is given no more.
        formats: of columns, as in `format`; what is not named is written as it is.
        rows: function of the cubes, one an experiment, that gives a data frame.
        partial: whether the table is made of those cubes that there are; `rows` is given None in place of the others.
        published: the files of `config/claims/` whose published numbers it shows beside ours, as in `("paper",)`.
    """

    id: str
    title: str
    caption: str
    reference: str
    experiments: tuple[str, ...]
    variables: tuple[str, ...]
    formats: Mapping[str, str]
    rows: Callable[..., "pd.DataFrame"]
    partial: bool = False
    published: tuple[str, ...] = ()


def table(
    *,
    title: str,
    reference: str,
    variables: tuple[str, ...],
    formats: Mapping[str, str],
    experiment: str | tuple[str, ...] = "mainline",
    partial: bool = False,
    published: tuple[str, ...] = (),
) -> Callable[[Callable[..., "pd.DataFrame"]], Table]:
    """Declare a function as a table; its docstring is the caption. See `Table` for the fields."""
    experiments = (experiment,) if isinstance(experiment, str) else experiment

    def declare(rows: Callable[..., "pd.DataFrame"]) -> Table:
        caption = " ".join((rows.__doc__ or "").split())
        name = id_of(rows.__module__)
        return Table(name, title, caption, reference, experiments, variables, formats, rows, partial, published)

    return declare


def load_table(name: str) -> Table:
    """A table by its id.

    Raises:
        UserError: there is no such table.
    """
    loaded: Table = _CATALOG.load(name)
    return loaded
