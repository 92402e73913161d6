"""config/experiments/*.yaml → results/<experiment>/dataset.zarr"""


localrules:
    dataset,


rule dataset:
    """Write every pair (or sequence) of an experiment, its label, and which runs train on it."""
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
