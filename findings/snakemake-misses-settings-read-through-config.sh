#!/usr/bin/env bash
# Snakemake does not rerun a rule when a setting changes that the rule reads through `config`.
#
# Expected: the rerun triggers "params" and "code" are on by default. After a change of `weight_decay` in the configuration
#   file, the jobs whose results depend on it run again.
# What happens: the triggers compare what stands in `params:` and in the text of the rule or its script. A value that the
#   script reads as `snakemake.config["weight_decay"]`, that the command contains as `{config[weight_decay]}`, or that a
#   `run:` block looks up is in neither, so Snakemake says "Nothing to be done". The old result stays beside the new
#   setting. The same holds for a function that a script imports from another file.
# What to do: put every setting that a rule reads in `params:`, and every file that a script imports in `input:`.
# Why it matters: a changed hyperparameter and unchanged networks look like "this setting has no effect".
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

mkdir work && cd work
cat > Snakefile <<'SNAKEFILE'
configfile: "config.yaml"

rule all:
    input: expand("{by}.txt", by=["params", "script", "command", "run", "import"])

rule by_params:
    output: "params.txt"
    params: weight_decay=config["weight_decay"]
    shell: "echo weight decay {params.weight_decay} > {output}"

rule by_script:
    output: "script.txt"
    script: "train.py"

rule by_command:
    output: "command.txt"
    shell: "echo weight decay {config[weight_decay]} > {output}"

rule by_run:
    output: "run.txt"
    run:
        with open(output[0], "w") as file:
            print("weight decay", config["weight_decay"], file=file)

rule by_import:
    output: "import.txt"
    script: "measure.py"
SNAKEFILE
cat > train.py <<'PY'
with open(snakemake.output[0], "w") as file:
    print("weight decay", snakemake.config["weight_decay"], file=file)
PY
cat > measure.py <<'PY'
from measures import measure

with open(snakemake.output[0], "w") as file:
    print("measure", measure(), file=file)
PY
echo "def measure(): return 'version 1'" > measures.py
echo "weight_decay: 1.0" > config.yaml

run() { snakemake --cores 1 > ../log 2>&1 || { cat ../log; exit 1; }; }
results() { for file in params script command run import; do printf '    %-9s%s\n' "$file" "$(cat "$file.txt")"; done; }

run
echo "First run, with weight_decay: 1.0:"
results | tee ../before
sleep 1.1
echo "def measure(): return 'version 2'" > measures.py
echo "weight_decay: 5.0" > config.yaml
run
echo "Second run, with weight_decay: 5.0 and another measures.py:"
results | tee ../after
sed 's/^\( *params *\).*/\1weight decay 5.0/' ../before > ../described
cmp -s ../after ../described || { echo "NOT AS DESCRIBED: other rules ran"; exit 1; }
run
grep -q "Nothing to be done" ../log || { echo "NOT AS DESCRIBED: Snakemake still has something to do"; exit 1; }
echo "Third run: $(grep -o 'Nothing to be done' ../log)."
echo "As described: only the rule with the setting in params ran again."
