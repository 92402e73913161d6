"""`python -m progress_measures`: the command line."""

from progress_measures.cli import main

main()
