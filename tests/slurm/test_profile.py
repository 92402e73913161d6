"""`snakemake --profile slurm` on a real Slurm, in a checkout without results, compared with `snakemake -c2`."""

import re
import subprocess

import pytest
import xarray as xr

from support.checkout import SLURM_PROFILE, Checkout, slurm_checkout

CUBE = "results/mainline/cube.zarr"
FIGURE = "results/figures/paper/fig07.png"


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("local")).make("-c2", CUBE)


def cube(checkout):
    return xr.open_zarr(checkout.folder / CUBE, consolidated=False)


@pytest.fixture(scope="module")
def cluster(lab, tmp_path_factory):
    """A checkout in which Figure 7 was requested on the cluster."""
    return slurm_checkout(tmp_path_factory.mktemp("cluster"), runs_per_shard=1).make(*SLURM_PROFILE, FIGURE)


def test_one_run_a_job_gives_an_identical_cube(lab, local, cluster):
    expected, actual = cube(local), cube(cluster)
    assert set(expected.variables) == set(actual.variables)
    for name, variable in expected.variables.items():
        assert variable.values.tobytes() == actual[name].values.tobytes() or variable.dtype == object, name
    assert (cluster.folder / FIGURE).exists()


def test_training_ran_as_slurm_jobs(lab, cluster):
    names = [job.name for job in lab.queue()]
    (submission,) = (cluster.folder / "results/mainline/jobs").glob("pm-*")
    assert names.count(submission.name) == 2  # an array of two runs
    assert "2 done" in (cluster.folder / "results/logs/train/mainline.log").read_text()


def test_a_measuring_job_gets_what_its_rule_states(lab, cluster):
    """Jobs in a group would ask for the cores of all members, run one after the other, and share one time limit."""
    line = ["squeue", "--states=all", "-h", "-o", "%k|%C|%m|%l|%T"]
    jobs = subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()
    measuring = [job.partition("|")[2] for job in jobs if job.startswith("rule_measure")]
    assert measuring == ["1|1500M|1:00:00|COMPLETED"], "one job measures both small runs, with all their families"


def test_nothing_reruns_on_either_machine(lab, cluster):
    assert cluster.jobs(*SLURM_PROFILE, FIGURE) == {}
    assert cluster.jobs(FIGURE) == {}


def test_settings_of_the_profile_reach_the_jobs(lab, tmp_path):
    checkout = slurm_checkout(
        tmp_path, slurm_partition="high", slurm_account="mylab", qos="q", shard_mem_mb=3000, runs_per_shard=2
    )
    output = checkout.snakemake("-n", "--verbose", *SLURM_PROFILE, CUBE).stdout
    (line,) = re.findall(r"progress-measures train mainline (--pool slurm .*?) 2>&1", output)
    options = line.split()
    values = dict(zip(options[::2], options[1::2], strict=True))
    assert values == {
        "--pool": "slurm",
        "--partition": "high",
        "--account": "mylab",
        "--qos": "q",
        "--runs-per-shard": "2",
        "--gpus": "1",
        "--gpu-memory-gb": "40",
        "--at-once": "8",
        "--minutes": "240",
        "--memory-mb": "3000",
        "--retries": "2",
        "--poll": "1",
    }


def test_wrong_partition_ends_the_workflow_with_the_message_of_slurm(lab, tmp_path):
    checkout = slurm_checkout(tmp_path, slurm_partition="nowhere")
    refused = checkout.snakemake(*SLURM_PROFILE, CUBE)
    assert refused.returncode == 1
    output = refused.stdout + refused.stderr
    assert "invalid partition specified: nowhere" in output
    assert "Partitions here: low high" in output
    assert not (checkout.folder / "results/mainline/runs").exists()
