"""Training: dataset.zarr → results/<experiment>/runs/<run>/{checkpoints,history}.zarr, results/<experiment>/trained.json

Snakemake trains each experiment in one job. This job trains runs on this machine's cores or GPUs, or submits Slurm jobs and
waits for them. Where runs train is given by resources of the rule, because a changed resource reruns nothing. Set resources with
`set-resources` in a profile or on the command line.

The files in runs/ are not declared as outputs, because Snakemake would delete them when the job fails, and training could not
resume. `trained.json` is written last and records that all runs are trained. If the job runs again, it skips trained runs.
"""


localrules:
    train,


rule train:
    """Train the runs of an experiment that are not trained yet, each from its last saved state if it has one."""
    input:
        "results/{experiment}/dataset.zarr",
        training_code,
        records_to_start_from,
    output:
        "results/{experiment}/trained.json",
    log:
        "results/logs/train/{experiment}.log",
    benchmark:
        "results/benchmarks/train/{experiment}.tsv"
    wildcard_constraints:
        experiment=TRAINED_PATTERN,
    retries: 0  # `progress-measures train` retries failed jobs
    conda:
        "../../environment.yml"
    # on this machine, one core per run; a process that trains a mainline run takes 0.9 GB, most of it for PyTorch
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
