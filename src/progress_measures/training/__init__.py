"""Training: losses, optimizers, the loop, checkpoints, and the launcher, which runs training in jobs."""
