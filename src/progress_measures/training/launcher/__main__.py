"""Does one task of a batch in a process of its own: `python -m progress_measures.training.launcher FOLDER INDEX`."""

import sys

from progress_measures.training.launcher.worker import main

sys.exit(main(*sys.argv[1:]))
