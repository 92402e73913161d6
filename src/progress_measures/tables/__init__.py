"""Tables: one module per table, which builds the rows of the table from cubes and, in some tables, published numbers."""

from progress_measures.tables.registry import Table, load_table, table, table_ids

__all__ = ["Table", "load_table", "table", "table_ids"]
