"""cube.zarr → results/figures/<source>/<id>.{pdf,png,svg}

A figure of an experiment that it does not declare is written to results/<experiment>/figures/. An animation `<id>.webp` or a
page `<id>.html` is drawn by a separate job, since drawing it takes longer and few figures have one.
"""


localrules:
    figure,
    extra_format,


rule figure:
    """Draw a figure from the cubes of the experiments that it declares, or of another experiment."""
    input:
        cubes=cubes_of_figure,
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_figure,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
    output:
        pdf="results/{scope}figures/{figure}.pdf",
        svg="results/{scope}figures/{figure}.svg",
        png=report(
            "results/{scope}figures/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: (wildcards.scope or wildcards.figure).partition(
                "/"
            )[0],
            subcategory="figures",
            labels=lambda wildcards: labels("figure", wildcards.figure, load_figure),
        ),
    log:
        "results/logs/figures/{scope}{figure}.log",
    benchmark:
        "results/benchmarks/figures/{scope}{figure}.tsv"
    conda:
        "../../environment.yml"
    params:
        title=lambda wildcards: declared(wildcards.figure).title,
        caption=lambda wildcards: declared(wildcards.figure).caption,
        reference=lambda wildcards: declared(wildcards.figure).reference,
        cubes=lambda wildcards, input: [f"--cube {path}" for path in input.cubes],
        to=lambda wildcards, output: [f"--to {path}" for path in output],
    shell:
        "progress-measures draw {wildcards.figure} {params.cubes} {params.to} > {log} 2>&1"


use rule figure as extra_format with:
    input:
        cubes=cubes_of_figure,
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_extra_format,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
        template=workflow.source_path("../../src/progress_measures/figures/page.html"),
    output:
        "results/{scope}figures/{figure}.{extra}",
    log:
        "results/logs/figures/{scope}{figure}.{extra}.log",
    benchmark:
        "results/benchmarks/figures/{scope}{figure}.{extra}.tsv"
    conda:
        "../../environment.yml"
