"""checkpoints → measures/<family>.zarr of each run → results/<experiment>/cube.zarr"""


rule measure:
    """Compute one family of measures at every checkpoint of one run."""
    input:
        "results/{experiment}/dataset.zarr",
        "results/{experiment}/trained.json",
        # only the path: common.smk wrote this file already, and calling `code` again for each job is slow
        str(fingerprint.fingerprint_file(FINGERPRINTS, "measures.{family}")),
        code("progress_measures.cube.extract", fingerprint.DERIVED),
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
        # whether the run is the experiment's first, for which more measures are stored
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
        # gather again when a run is added to the grid
        runs=lambda wildcards: [
            f"{run.name} {run.hash}" for run in runs_of(wildcards.experiment).values()
        ],
    shell:
        "progress-measures gather {wildcards.experiment} > {log} 2>&1"
