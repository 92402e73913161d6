"""dataset.zarr → results/<experiment>/runs/<run>/{checkpoints.zarr, history.zarr, done.json} → results/<experiment>/trained.json

Each experiment is one job of Snakemake. This job trains runs on this machine's cores or GPU, or submits Slurm jobs and waits
for them. Where a run trains does not affect its results, so it is set by resources, whose changes rerun nothing. Change them
with `set-resources` in a profile or on the command line.

The files in runs/ are not declared as outputs, because Snakemake would delete them when the job fails, and training could not
resume. `trained.json` is written last and records that all runs are trained. Trained runs are not trained again.
"""


localrules:
    train,


rule train:
    """Train the runs of an experiment, each from its last saved state."""
    input:
        "results/{experiment}/dataset.zarr",
        training_code,
    output:
        "results/{experiment}/trained.json",
    log:
        "results/logs/train/{experiment}.log",
    benchmark:
        "results/benchmarks/train/{experiment}.tsv"
    wildcard_constraints:
        experiment=TRAINED,
    retries: 0  # `progress-measures train` submits failed jobs again itself
    conda:
        "../../environment.yml"
    # one run per core
    threads: lambda wildcards: min(len(runs_of(wildcards.experiment)), workflow.cores or 1)
    resources:
        mem_mb=lambda wildcards, threads: 1200 * threads,
        pool="local",
    params:
        settings=lambda wildcards: [
            f"{run.name} {run.hash}" for run in runs_of(wildcards.experiment).values()
        ],
        where=lambda wildcards, threads, resources: training_options(threads, resources),
    shell:
        "progress-measures train {wildcards.experiment} {params.where} 2>&1 | tee {log}"
