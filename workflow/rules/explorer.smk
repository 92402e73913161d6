"""cubes → results/explorer/index.html, or results/<experiment>/explorer/index.html for a single experiment"""


localrules:
    explorer,
    explorer_of,


rule explorer:
    """Write one self-contained page that shows the networks while they grok."""
    input:
        cubes=cubes([name for name in EXPLORED if covered([name])]),
        code=code("progress_measures.explorer.page"),
        web=explorer_source(),
    output:
        report(
            "results/explorer/index.html",
            caption="../report/explorer.rst",
            category="explorer",
        ),
    log:
        "results/logs/explorer.log",
    benchmark:
        "results/benchmarks/explorer.tsv"
    conda:
        "../../environment.yml"
    shell:
        "progress-measures explore {input.cubes} --out {output} --no-open > {log} 2>&1"


use rule explorer as explorer_of with:
    input:
        cubes=lambda wildcards: cube(wildcards.experiment),
        code=code("progress_measures.explorer.page"),
        web=explorer_source(),
    output:
        "results/{experiment}/explorer/index.html",
    log:
        "results/logs/explorer/{experiment}.log",
    benchmark:
        "results/benchmarks/explorer/{experiment}.tsv"
    conda:
        "../../environment.yml"
