"""Trains the runs of an experiment: packs them into shards, hands these to a pool, waits until all are trained.

    shards   which runs train as one batch
    batch    the record of what was submitted
    worker   a task where it runs
    pool     what pools have in common: `local` are this machine's processes, `slurm` a cluster's jobs
    wait     submits, waits, tries again, tells
    table    what whoever waits sees
    launch   all of it for the runs of an experiment

Nothing in here but a shard at work imports torch: what waits for a cluster on its login node stays small.
"""
