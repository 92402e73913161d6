"""Tables: one module each, named after the table, which builds its rows from a cube and the published numbers."""

from progress_measures.tables.registry import Table, load_table, table, table_ids

__all__ = ["Table", "load_table", "table", "table_ids"]
