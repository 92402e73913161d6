"""The literal `snakemake --profile slurm` on a real Slurm, from an empty tree, against `snakemake -c2`."""

import re

import pytest
import xarray as xr

from support.checkout import SLURM_PROFILE, Checkout, slurm_checkout

CUBE = "results/mainline/cube.zarr"
FIGURE = "results/figures/paper/fig07.png"


@pytest.fixture(scope="module")
def at_home(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("at_home")).make("-c2", CUBE)


def cube(checkout):
    return xr.open_zarr(checkout.folder / CUBE, consolidated=False)


@pytest.fixture(scope="module")
def away(lab, tmp_path_factory):
    """Figure 7 asked for on the cluster."""
    return slurm_checkout(tmp_path_factory.mktemp("away"), runs_per_shard=1).make(*SLURM_PROFILE, FIGURE)


def test_one_run_a_job_gives_the_same_cube_to_the_bit(lab, at_home, away):
    here, there = cube(at_home), cube(away)
    assert set(here.variables) == set(there.variables)
    for name, variable in here.variables.items():
        assert variable.values.tobytes() == there[name].values.tobytes() or variable.dtype == object, name
    assert (away.folder / FIGURE).exists()


def test_jobs_went_through_slurm(lab, away):
    names = [job.name for job in lab.queue()]
    (batch,) = (away.folder / "results/mainline/jobs").glob("pm-*")
    assert names.count(batch.name) == 2  # an array of two runs
    log = (away.folder / "results/logs/train/mainline.log").read_text()
    assert "2 done" in log
    assert "running" in log


def test_nothing_reruns_there_or_here(lab, away):
    assert away.jobs(*SLURM_PROFILE, FIGURE) == {}
    assert away.jobs(FIGURE) == {}


def test_what_the_profile_says_reaches_the_jobs(lab, tmp_path):
    checkout = slurm_checkout(
        tmp_path, slurm_partition="high", slurm_account="mylab", qos="q", shard_mem_mb=3000, runs_per_shard=2
    )
    said = checkout.snakemake("-n", *SLURM_PROFILE, CUBE).stdout
    (line,) = re.findall(r"progress-measures train mainline (--pool slurm .*?) 2>&1", said)
    options = line.split()
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given == {
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


def test_a_wrong_partition_ends_the_workflow_with_slurms_words(lab, tmp_path):
    checkout = slurm_checkout(tmp_path, slurm_partition="nowhere")
    refused = checkout.snakemake(*SLURM_PROFILE, CUBE)
    assert refused.returncode == 1
    said = refused.stdout + refused.stderr
    assert "invalid partition specified: nowhere" in said
    assert "Partitions here: low high" in said
    assert not (checkout.folder / "results/mainline/runs").exists()
