#!/usr/bin/env bash
# After a change of a setting that a rule reads through `config`, Snakemake does not run the rule again.
#
# Expected: the rerun triggers "params" and "code" are on by default. After a change of `weight_decay` in the configuration
#   file, the jobs whose results depend on `weight_decay` run again.
# What happens: the triggers compare the values in `params:` and the text of the rule or its script. They do not see a value
#   that the script reads as `snakemake.config["weight_decay"]`, that the command contains as `{config[weight_decay]}`, or that
#   a `run:` block reads from `config`. So Snakemake prints "Nothing to be done", and the results of the old setting remain.
#   Changes of a function that a script imports from another file are missed too.
# What to do: put every setting that a rule reads in `params:`, and every file that a script imports in `input:`.
# Why it matters: after a change of a hyperparameter the networks stay the same, as if the hyperparameter had no effect.
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
echo "First call, with weight_decay: 1.0:"
results | tee ../first_results
sleep 1.1
echo "def measure(): return 'version 2'" > measures.py
echo "weight_decay: 5.0" > config.yaml
run
echo "Second call, with weight_decay: 5.0 and a changed measures.py:"
results | tee ../second_results
sed 's/^\( *params *\).*/\1weight decay 5.0/' ../first_results > ../described
cmp -s ../second_results ../described || { echo "NOT AS DESCRIBED: not only by_params ran again"; exit 1; }
run
grep -q "Nothing to be done" ../log || { echo "NOT AS DESCRIBED: the third call runs a rule"; exit 1; }
echo "Third call: $(grep -o 'Nothing to be done' ../log)."
echo "As described: only the rule with the setting in params ran again."
