"""dataset.zarr → results/<experiment>/runs/<run>/{checkpoints.zarr, history.zarr, done.json} → results/<experiment>/trained.json

One job an experiment, wherever its runs train: on this machine's cores or GPU, or as Slurm jobs that it submits and
waits for. Where is no business of the results, so it comes from resources, which Snakemake leaves out of its account:
`set-resources` of a profile, or of the command line, changes them and nothing reruns.

What is in runs/ is no declared output: Snakemake would delete it with a failed job, and the next one could not go on
from it. `trained.json` comes last and says that all runs are there; a run that is trained already is left alone.
"""


localrules:
    train,


rule train:
    """Train the runs of an experiment, going on from their last checkpoints."""
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
    retries: 0  # the launcher tries again
    conda:
        "../../environment.yml"
    # one run a core
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
