"""Runs one job of a submission in this process: `python -m progress_measures.training.launcher FOLDER INDEX`.

FOLDER is the folder of the submission, INDEX the index of the job in it.
"""

import sys

from progress_measures.training.launcher.worker import main

sys.exit(main(*sys.argv[1:]))
