"""Trains the runs of an experiment: packs them into shards, submits the shards to a pool, waits until all are trained.

    shards       which runs train as one batch
    submission   the record of what was submitted
    worker       one job, in the process where it runs
    pool         the interface of pools: `local` runs processes of this machine, `slurm` runs jobs of a cluster
    wait         submits, waits, retries, reports failures
    table        the table of jobs, shown while they run
    launch       trains an experiment's runs with the modules above, and lists its jobs

Only a job that trains imports torch, so the process that waits on a cluster's login node stays small.
"""
