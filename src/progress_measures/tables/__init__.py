"""Tables: one small module each, named as the table; it makes rows of a cube and of what was published."""

from progress_measures.tables.registry import Table, load_table, table, table_ids

__all__ = ["Table", "load_table", "table", "table_ids"]
