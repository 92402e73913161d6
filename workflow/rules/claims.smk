"""The verdicts of all claims: cubes and config/claims/*.yaml → results/claims.{json,md}"""


localrules:
    claims,


rule claims:
    """Judge every claim on the cubes."""
    input:
        cubes=lambda wildcards: judged_cubes(),
        claim_files=sorted(str(path) for path in Path("config/claims").glob("*.yaml")),
        populations="config/populations.yaml",
        code=fingerprint_files(
            "progress_measures.claims.claims_page", *quantity_modules()
        ),
    output:
        json="results/claims.json",
        page="results/claims.md",
    log:
        "results/logs/claims.log",
    benchmark:
        "results/benchmarks/claims.tsv"
    conda:
        "../../environment.yml"
    params:
        which=f"--cubes {config.get('cubes', 'results')}",
    shell:
        "progress-measures claims {params.which} > {log} 2>&1"
