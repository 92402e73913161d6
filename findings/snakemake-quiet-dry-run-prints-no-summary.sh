#!/usr/bin/env bash
# A quiet dry run of Snakemake prints nothing about the jobs that would run.
#
# Expected: `snakemake --help` recommends `--dry-run --quiet` for large workflows, to print just a summary of the job graph: which
#   rules would run, and how often.
# What happens: the output is a header about the machine and the versions. It names no rule and no number of jobs.
# What to do: use a dry run without --quiet and read the table "Job stats", or filter with `--quiet rules`, which keeps this table.
# Why it matters: before a sweep one checks what would run, and the recommended command does not say.
# Versions: snakemake 9.27.1, Python 3.11 or later.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check snakemake==9.27.1 2>&1 | grep -v '^WARNING' || true
export PATH="$folder/venv/bin:$PATH" HOME="$folder" XDG_CACHE_HOME="$folder"
echo "snakemake $(snakemake --version)"
[ "$(snakemake --version)" = 9.27.1 ] || { echo "NOT AS DESCRIBED: this is about version 9.27.1"; exit 1; }

cat > Snakefile <<'SNAKEFILE'
rule figure:
    input: "seed0.txt", "seed1.txt"
    output: "figure.txt"
    shell: "cat {input} > {output}"

rule measure:
    output: "{run}.txt"
    shell: "echo {wildcards.run} > {output}"
SNAKEFILE

help=$(snakemake --help | tr -s ' \n' ' ')
case "$help" in
*"run --quiet\` to just print a summary of the DAG of jobs"*) echo "snakemake --help recommends --dry-run --quiet for a summary." ;;
*) echo "NOT AS DESCRIBED: the help does not recommend it"; exit 1 ;;
esac

snakemake --dry-run --quiet > to_do 2>&1
echo "Quiet dry run with three jobs to do: $(wc -l < to_do) lines, of which the last is: $(tail -n 1 to_do)"
! grep -qE 'measure|figure|Job stats|total' to_do || { echo "NOT AS DESCRIBED: the output names rules"; exit 1; }

snakemake --dry-run > loud 2>&1
grep -qE '^measure +2' loud || { echo "NOT AS DESCRIBED: a plain dry run has no table of rules"; exit 1; }
snakemake --dry-run --quiet rules > rules 2>&1
if grep -qE '^measure +2' rules; then echo "With --quiet rules the table of rules is printed."; else echo "NOT AS DESCRIBED: --quiet rules prints no table"; exit 1; fi

echo "As described: a quiet dry run names no rule, although --help promises a summary."
