"""dataset.zarr → results/<experiment>/runs/<run>/{checkpoints.zarr, history.zarr, done.json}

Checkpoints are no declared output: Snakemake would delete them with a failed job, and the next one could not go on
from them. `done.json` is renamed into place last, and says that they are all there. Where it was deleted although neither
settings nor code of the run have changed (a run was added beside it, say), the last state brings it back in seconds.
"""


rule train:
    """Train one network, going on from its last checkpoint; one run a process with one thread."""
    input:
        "results/{experiment}/dataset.zarr",
        training_code,
    output:
        "results/{experiment}/runs/{run}/done.json",
    log:
        "results/logs/train/{experiment}/{run}.log",
    benchmark:
        "results/benchmarks/train/{experiment}/{run}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1200,
    params:
        settings=lambda wildcards: run_of(wildcards).hash,
    shell:
        "progress-measures train {wildcards.experiment} --run {wildcards.run} --threads {threads} 2>&1 | tee {log}"
