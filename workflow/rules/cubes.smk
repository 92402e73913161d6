"""checkpoints → measures/<family>.zarr a run → results/<experiment>/cube.zarr"""


rule measure:
    """Take one family of measures of every checkpoint of one run."""
    input:
        "results/{experiment}/dataset.zarr",
        "results/{experiment}/trained.json",
        "results/.fingerprints/measures.{family}.txt",  # as `code` names it: calling it for each job takes long
        code("progress_measures.cube.extract"),
    output:
        directory("results/{experiment}/runs/{run}/measures/{family}.zarr"),
    log:
        "results/logs/measure/{experiment}/{run}/{family}.log",
    benchmark:
        "results/benchmarks/measure/{experiment}/{run}/{family}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,
    params:
        # more is kept of an experiment's first run
        first=lambda wildcards: next(iter(runs_of(wildcards.experiment)))
        == run_of(wildcards).name,
    shell:
        "progress-measures measure {wildcards.experiment} --run {wildcards.run} --family {wildcards.family} > {log} 2>&1"


rule gather:
    """Join the runs of an experiment into its cube."""
    input:
        lambda wildcards: measured(wildcards.experiment),
        code("progress_measures.cube.gather"),
    output:
        directory("results/{experiment}/cube.zarr"),
    log:
        "results/logs/gather/{experiment}.log",
    benchmark:
        "results/benchmarks/gather/{experiment}.tsv"
    conda:
        "../../environment.yml"
    params:
        title=lambda wildcards: EXPERIMENTS[wildcards.experiment].title,
        # so that a run added to the grid is noticed
        runs=lambda wildcards: [
            f"{run.name} {run.hash}" for run in runs_of(wildcards.experiment).values()
        ],
    shell:
        "progress-measures gather {wildcards.experiment} > {log} 2>&1"
