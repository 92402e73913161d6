"""The explorer: cubes → results/explorer/index.html, or for one experiment results/<experiment>/explorer/index.html"""


localrules:
    explorer,


rule explorer:
    """Write the explorer: one self-contained page that shows the networks at every checkpoint."""
    input:
        cubes=cubes_of_explorer,
        claims=sorted(map(str, Path("config/claims").glob("*.yaml"))),
        code=fingerprint_files("progress_measures.explorer.page", *quantity_modules()),
        web=explorer_source(),
    output:
        report(
            "results/{replacement}explorer/index.html",
            caption="../report/explorer.rst",
            category="explorer",
        ),
    log:
        "results/logs/explorer/{replacement}index.log",
    benchmark:
        "results/benchmarks/explorer/{replacement}index.tsv"
    conda:
        "../../environment.yml"
    shell:
        "progress-measures explore {input.cubes} --out {output} --no-open > {log} 2>&1"
