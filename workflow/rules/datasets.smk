"""Datasets: config/experiments/*.yaml → results/<experiment>/dataset.zarr"""


localrules:
    dataset,


rule dataset:
    """Write the examples of an experiment: every pair with its label and the runs that train on it, or the sampled sequences."""
    input:
        dataset_code,
    output:
        directory("results/{experiment}/dataset.zarr"),
    log:
        "results/logs/dataset/{experiment}.log",
    benchmark:
        "results/benchmarks/dataset/{experiment}.tsv"
    wildcard_constraints:
        experiment=TRAINED_PATTERN,
    conda:
        "../../environment.yml"
    params:
        splits=lambda wildcards: [
            f"{run.name} {run.task!r} {run.split!r} {run.split_seed}"
            for run in runs_of(wildcards.experiment).values()
        ],
    shell:
        "progress-measures dataset {wildcards.experiment} > {log} 2>&1"
