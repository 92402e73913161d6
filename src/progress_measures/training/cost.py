"""Stand-in."""


def capacity(run, device_memory, margin):
    return 8


def job_memory(run, runs, gpu):
    return 1200 * 2**20
