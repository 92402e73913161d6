"""Trains the runs of an experiment in jobs, and waits until all are trained.

A shard is a set of runs that one job trains together. A pool is where jobs run.

    shards       groups runs that train together in one job
    submission   the record on disk of the submitted jobs
    worker       runs one job in the process that the pool started
    pool         the interface of pools: `local` runs processes of this machine, `slurm` runs jobs of a cluster
                 (`slurm_commands` calls Slurm, `slurm_status` determines a job's status)
    wait         submits, waits, retries, reports failures
    table        the table of jobs, shown while they run
    launch       trains an experiment's runs with the modules above, and lists and cancels its jobs

The process that waits for the jobs does not import torch, so it needs little memory on a cluster's login node.
"""
