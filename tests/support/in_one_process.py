"""Run commands of `progress-measures`, one after the other: `python -m support.in_one_process LINES`.

LINES is a list of the words of each command, as JSON.
"""

import json
import sys

from progress_measures.cli import app

if __name__ == "__main__":
    for line in json.loads(sys.argv[1]):
        print("#", *line, flush=True)
        app(line, standalone_mode=False)
