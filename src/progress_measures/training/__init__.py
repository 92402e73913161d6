"""Training: losses, optimizer, loop, checkpoints and the launcher."""
