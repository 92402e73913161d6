"""Figures: cubes → results/figures/<source>/<id>.{pdf,png,svg}

A figure can be drawn from an experiment other than the declared one; it is then written to results/<experiment>/figures/. A
figure of one network can be drawn of any run: results/<experiment>/figures/<source>/<id>@<run>.pdf. A separate job draws an
animation `<id>.webp` or writes a page `<id>.html`, because few figures have one and it takes longer.
"""


localrules:
    figure,
    extra_format,


rule figure:
    """Draw a figure from the cubes of the experiments that it declares, or from the cube of another experiment."""
    input:
        cubes=cubes_of_figure,
        published=lambda wildcards: claim_files(declaration_of(wildcards.figure)),
        code=code_of_figure,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
    output:
        pdf="results/{replacement}figures/{figure}{of_run}.pdf",
        svg="results/{replacement}figures/{figure}{of_run}.svg",
        png=report(
            "results/{replacement}figures/{figure}{of_run}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: (
                wildcards.replacement or wildcards.figure
            ).partition("/")[0],
            subcategory="figures",
            labels=lambda wildcards: report_labels(
                "figure", wildcards.figure, load_figure
            ),
        ),
    log:
        "results/logs/figures/{replacement}{figure}{of_run}.log",
    benchmark:
        "results/benchmarks/figures/{replacement}{figure}{of_run}.tsv"
    conda:
        "../../environment.yml"
    params:
        title=lambda wildcards: declaration_of(wildcards.figure).title,
        caption=lambda wildcards: declaration_of(wildcards.figure).caption_of(
            run_of(wildcards)
        ),
        reference=lambda wildcards: declaration_of(wildcards.figure).reference,
        cubes=lambda wildcards, input: [f"--cube {path}" for path in input.cubes],
        run=lambda wildcards: f"--run {run_of(wildcards)}" if wildcards.of_run else "",
        to=lambda wildcards, output: [f"--to {path}" for path in output],
    shell:
        "progress-measures draw {wildcards.figure} {params.cubes} {params.run} {params.to} > {log} 2>&1"


use rule figure as extra_format with:
    input:
        cubes=cubes_of_figure,
        published=lambda wildcards: claim_files(declaration_of(wildcards.figure)),
        code=code_of_extra_format,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
        template=workflow.source_path("../../src/progress_measures/figures/page.html"),
    output:
        "results/{replacement}figures/{figure}{of_run}.{extra}",
    log:
        "results/logs/figures/{replacement}{figure}{of_run}.{extra}.log",
    benchmark:
        "results/benchmarks/figures/{replacement}{figure}{of_run}.{extra}.tsv"
    conda:
        "../../environment.yml"
