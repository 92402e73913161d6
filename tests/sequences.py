"""Small runs on sequences, one of each task."""

from progress_measures.experiments.schema import Experiment

SIZES = {"d_model": 16, "heads": 2, "d_head": 8, "d_mlp": 24}
RUNS = {
    "five_digit_addition": {"task": {"digits": 2}, "model": SIZES | {"initialization": "authors"}},
    "repeated_subsequence": {
        "task": {"vocabulary": 11, "length": 19, "subsequence": 4},
        "model": SIZES | {"layers": 2, "attention_only": True, "initialization": "authors_by_head"},
    },
    "skip_trigram": {
        "task": {"noise": 4, "answers": 3, "length": 7},
        "model": SIZES | {"attention_only": True, "initialization": "authors"},
    },
}


def runs_of(kind, count=1, task=None, model=None, examples=None, batch=None, **training):
    """Runs that differ in their seeds; without `examples`, each update sees fresh ones."""
    given = RUNS[kind]
    recipe = {"epochs": 60, "checkpoint_every": 10, "evaluate_every": 10} | training
    file = {
        "title": "small",
        "task": {"kind": kind} | (given["task"] if task is None else task),
        "split": {"test_examples": 40} | ({} if examples is None else {"examples": examples}),
        "model": given["model"] | (model or {}),
        "training": recipe | ({"batch": batch or 24} if batch or examples is None else {}),
        "grid": {"seed": list(range(count))},
    }
    return Experiment.model_validate(file).runs("small")


def run_of(kind, **options):
    """One of them."""
    return runs_of(kind, **options)[0]
