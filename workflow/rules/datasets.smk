"""Datasets: config/experiments/*.yaml → results/<experiment>/dataset.zarr"""


localrules:
    dataset,


rule dataset:
    """Write the pairs or sequences of an experiment, with the label of each and the runs that train on it."""
    input:
        dataset_code,
    output:
        directory("results/{experiment}/dataset.zarr"),
    log:
        "results/logs/dataset/{experiment}.log",
    benchmark:
        "results/benchmarks/dataset/{experiment}.tsv"
    wildcard_constraints:
        experiment=TRAINED,
    conda:
        "../../environment.yml"
    params:
        splits=lambda wildcards: [
            f"{run.name} {run.task!r} {run.split!r} {run.split_seed}"
            for run in runs_of(wildcards.experiment).values()
        ],
    shell:
        "progress-measures dataset {wildcards.experiment} > {log} 2>&1"
