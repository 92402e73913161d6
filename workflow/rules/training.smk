"""dataset.zarr → results/<experiment>/runs/<run>/{checkpoints.zarr, history.zarr, done.json} → results/<experiment>/trained.json

Each experiment is one job of Snakemake. It trains runs on this machine's cores or GPU, or submits Slurm jobs and waits for
them. The place of training does not affect results, so resources set it, which do not cause reruns. Change them with
`set-resources` in a profile or on the command line.

The files in runs/ are not declared outputs, since Snakemake would delete them with a failed job, which then could not be
resumed. `trained.json` is written last and records that all runs are trained. Trained runs are not trained again.
"""


localrules:
    train,


rule train:
    """Train the runs of an experiment, resuming from their last saved states."""
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
    retries: 0  # the launcher retries
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
