"""Entry point of `python -m progress_measures`."""

from progress_measures.cli import main

main()
