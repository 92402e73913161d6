"""Measures of each run, then the cube: checkpoints → measures/<family>.zarr → results/<experiment>/cube.zarr

A family is the measures of one module; a part is the runs that one job measures, named after the first of them. The stores of
measures are not declared as outputs, because Snakemake would delete them before a job runs, and families that are current would
be computed again. The output of the rule `measure` is a copy of the fingerprint of the code that measured the part.
"""


rule measure:
    """Compute the measures of one run, or of several small runs, from their checkpoints; skip families that are current."""
    input:
        "results/{experiment}/dataset.zarr",
        "results/{experiment}/trained.json",
        # The path alone: common.smk has written the file, and writing it again for each job would be slow.
        code=str(fingerprint.fingerprint_file(FINGERPRINTS, "measured.{experiment}")),
    output:
        "results/{experiment}/measured/{part}",
    log:
        "results/logs/measure/{experiment}/{part}.log",
    benchmark:
        "results/benchmarks/measure/{experiment}/{part}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,  # measuring a network of the mainline's sizes takes 1.2 GB
    params:
        # Whether the part has the experiment's first run. The command does not use it, but a change repeats the job, because
        # some measures are stored only for the first run.
        first=lambda wildcards: next(iter(runs_of(wildcards.experiment)))
        == wildcards.part,
        runs=lambda wildcards: [f"--run {run.name}" for run in part_of(wildcards)],
    shell:
        "progress-measures measure {wildcards.experiment} {params.runs} > {log} 2>&1 && cp {input.code} {output}"


rule gather:
    """Join the runs of an experiment into its cube.

    Snakemake writes `.snakemake_timestamp` into the store. Plain xarray does not warn about this file, because it reads the
    store's consolidated metadata, which do not list the file.
    """
    input:
        lambda wildcards: measuring_records(wildcards.experiment),
        fingerprint_files("progress_measures.cube.gather"),
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
        # The command does not use these: if they change, Snakemake gathers again.
        runs=lambda wildcards: [
            f"{run.name} {run.hash}" for run in runs_of(wildcards.experiment).values()
        ],
    shell:
        "progress-measures gather {wildcards.experiment} > {log} 2>&1"
