"""cubes → results/explorer/index.html, or results/<experiment>/explorer/index.html for a single experiment"""


localrules:
    explorer,


rule explorer:
    """Write one self-contained page that shows the networks while they grok."""
    input:
        cubes=cubes_of_explorer,
        claims=sorted(map(str, Path("config/claims").glob("*.yaml"))),
        code=code("progress_measures.explorer.page", *quantity_modules()),
        web=explorer_source(),
    output:
        report(
            "results/{scope}explorer/index.html",
            caption="../report/explorer.rst",
            category="explorer",
        ),
    log:
        "results/logs/explorer/{scope}index.log",
    benchmark:
        "results/benchmarks/explorer/{scope}index.tsv"
    conda:
        "../../environment.yml"
    shell:
        "progress-measures explore {input.cubes} --out {output} --no-open > {log} 2>&1"
