"""Measures of each run, then the cube: checkpoints → measures/<family>.zarr → results/<experiment>/cube.zarr"""


rule measure:
    """Compute one family of measures at every checkpoint of one run."""
    input:
        "results/{experiment}/dataset.zarr",
        "results/{experiment}/trained.json",
        # The path without a call of `code`: common.smk has written the file, and a call for each job would be slow.
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
        # Whether the run is the first of its experiment: some measures are stored only for the first run.
        first=lambda wildcards: next(iter(runs_of(wildcards.experiment)))
        == run_of(wildcards).name,
    shell:
        "progress-measures measure {wildcards.experiment} --run {wildcards.run} --family {wildcards.family} > {log} 2>&1"


rule gather:
    """Join the runs of an experiment into its cube.

    Snakemake writes `.snakemake_timestamp` into the store. Its consolidated metadata, which are written last, keep plain xarray
    from warning about this file.
    """
    input:
        lambda wildcards: measure_stores(wildcards.experiment),
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
        # A changed list of runs makes Snakemake gather again.
        runs=lambda wildcards: [
            f"{run.name} {run.hash}" for run in runs_of(wildcards.experiment).values()
        ],
    shell:
        "progress-measures gather {wildcards.experiment} > {log} 2>&1"
