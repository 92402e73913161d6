"""Experiments: the pydantic models of `config/experiments/*.yaml` and the functions that read them."""

from progress_measures.experiments.load import experiment_names, imported_names, load_experiment
from progress_measures.experiments.schema import Experiment, Run

__all__ = ["Experiment", "Run", "experiment_names", "imported_names", "load_experiment"]
