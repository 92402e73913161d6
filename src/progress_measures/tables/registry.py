"""The registry of tables and the decorator that declares them. Importing this module imports no table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from progress_measures.catalog import Catalog, id_of

if TYPE_CHECKING:
    import pandas as pd

_CATALOG = Catalog(kind="table", package="progress_measures.tables", attribute="rows")
table_ids, table_module = _CATALOG.ids, _CATALOG.module


@dataclass(frozen=True)
class Table:
    """One table and its declaration.

    Attributes:
        id: source and name, such as `paper/table01`.
        title: title of the table, one line.
        caption: a few sentences on how to read the table.
        reference: the published table or section that this table reproduces, or `not in the sources`.
        experiments: names of the experiments from whose cubes the table is built.
        variables: names of the variables that the table reads from each cube; `rows` receives cubes with only these.
        formats: Python's format specification, such as `.2f`, by name of the column; columns without one are unformatted.
        rows: function of the cubes, one per experiment, that returns the table as a data frame.
        partial: whether the table is built even if some cubes are missing; `rows` receives None for each missing cube.
        published: files of `config/claims/`, without `.yaml`, whose published numbers the table has beside ours.
    """

    id: str
    title: str
    caption: str
    reference: str
    experiments: tuple[str, ...]
    variables: tuple[str, ...]
    formats: Mapping[str, str]
    rows: Callable[..., pd.DataFrame]
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
) -> Callable[[Callable[..., pd.DataFrame]], Table]:
    """Declare a function as a table.

    Args:
        title: title of the table, one line.
        reference: the published table or section that this table reproduces, or `not in the sources`.
        variables: names of the variables that the table reads from each cube.
        formats: Python's format specification, such as `.2f`, by name of the column; columns without one are unformatted.
        experiment: name or names of the experiments from whose cubes the table is built.
        partial: whether the table is built even if some cubes are missing.
        published: files of `config/claims/`, without `.yaml`, whose published numbers the table has beside ours.

    Returns:
        A decorator of the function `rows` that returns the `Table`. The docstring of `rows` is the caption.
    """
    experiments = (experiment,) if isinstance(experiment, str) else experiment

    def declare(rows: Callable[..., pd.DataFrame]) -> Table:
        caption = " ".join((rows.__doc__ or "").split())
        table_id = id_of(rows.__module__)
        declared = Table(
            id=table_id,
            title=title,
            caption=caption,
            reference=reference,
            experiments=experiments,
            variables=variables,
            formats=formats,
            rows=rows,
            partial=partial,
            published=published,
        )
        _CATALOG.add(declared)
        return declared

    return declare


def load_table(name: str) -> Table:
    """Return a table by its id.

    Raises:
        UserError: there is no such table.
    """
    loaded: Table = _CATALOG.load(name)
    return loaded
