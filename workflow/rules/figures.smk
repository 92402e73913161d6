"""cube.zarr → results/figures/<source>/<id>.{pdf,png,svg}

A figure of an experiment that it does not declare is written to results/<experiment>/figures/. An animation `<id>.webp` or a
page `<id>.html` is drawn by a separate job, since drawing it takes longer and few figures have one.
"""


localrules:
    figure,
    figure_of,
    extra_format,
    extra_format_of,


rule figure:
    """Draw a figure from the cubes of the experiments that it declares."""
    input:
        cubes=lambda wildcards: cubes(experiments_of(wildcards.figure)),
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_figure,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
    output:
        pdf="results/figures/{figure}.pdf",
        svg="results/figures/{figure}.svg",
        png=report(
            "results/figures/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: wildcards.figure.partition("/")[0],
            subcategory="figures",
            labels=lambda wildcards: labels("figure", wildcards.figure, load_figure),
        ),
    log:
        "results/logs/figures/{figure}.log",
    benchmark:
        "results/benchmarks/figures/{figure}.tsv"
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


use rule figure as figure_of with:
    input:
        cubes=lambda wildcards: cubes(
            experiments_of(wildcards.figure, wildcards.experiment)
        ),
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_figure,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
    output:
        pdf="results/{experiment}/figures/{figure}.pdf",
        svg="results/{experiment}/figures/{figure}.svg",
        png=report(
            "results/{experiment}/figures/{figure}.png",
            caption="../report/figure.rst",
            category="{experiment}",
            subcategory="figures",
            labels=lambda wildcards: labels("figure", wildcards.figure, load_figure),
        ),
    log:
        "results/logs/figures/{experiment}/{figure}.log",
    benchmark:
        "results/benchmarks/figures/{experiment}/{figure}.tsv"
    conda:
        "../../environment.yml"


use rule figure as extra_format with:
    input:
        cubes=lambda wildcards: cubes(experiments_of(wildcards.figure)),
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_extra_format,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
        template=workflow.source_path("../../src/progress_measures/figures/page.html"),
    output:
        "results/figures/{figure}.{extra}",
    log:
        "results/logs/figures/{figure}.{extra}.log",
    benchmark:
        "results/benchmarks/figures/{figure}.{extra}.tsv"
    conda:
        "../../environment.yml"


use rule extra_format as extra_format_of with:
    input:
        cubes=lambda wildcards: cubes(
            experiments_of(wildcards.figure, wildcards.experiment)
        ),
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_extra_format,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
        template=workflow.source_path("../../src/progress_measures/figures/page.html"),
    output:
        "results/{experiment}/figures/{figure}.{extra}",
    log:
        "results/logs/figures/{experiment}/{figure}.{extra}.log",
    benchmark:
        "results/benchmarks/figures/{experiment}/{figure}.{extra}.tsv"
    conda:
        "../../environment.yml"
