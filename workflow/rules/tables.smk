"""Tables: cubes and published numbers → results/tables/<source>/<id>.{md,csv,tex}"""


localrules:
    table,


rule table:
    """Write a table of numbers from the cubes of the declared experiments; some tables also show published numbers."""
    input:
        cubes=lambda wildcards: cubes_of_table(wildcards.table),
        published=lambda wildcards: claim_files(
            declaration_of(wildcards.table, load_table)
        ),
        code=code_of_table,
    output:
        csv="results/tables/{table}.csv",
        tex="results/tables/{table}.tex",
        md=report(
            "results/tables/{table}.md",
            caption="../report/table.rst",
            category=lambda wildcards: wildcards.table.partition("/")[0],
            subcategory="tables",
            labels=lambda wildcards: report_labels(
                "table", wildcards.table, load_table
            ),
        ),
    log:
        "results/logs/tables/{table}.log",
    benchmark:
        "results/benchmarks/tables/{table}.tsv"
    conda:
        "../../environment.yml"
    params:
        title=lambda wildcards: declaration_of(wildcards.table, load_table).title,
        caption=lambda wildcards: declaration_of(wildcards.table, load_table).caption,
        reference=lambda wildcards: declaration_of(
            wildcards.table, load_table
        ).reference,
        # Includes cubes that do not exist: a partial table says for which experiments it has no values.
        cubes=lambda wildcards: [
            f"--cube {path}"
            for path in cubes(declaration_of(wildcards.table, load_table).experiments)
        ],
    shell:
        "progress-measures tabulate {wildcards.table} {params.cubes}"
        " --to {output.csv} --to {output.tex} --to {output.md} > {log} 2>&1"
