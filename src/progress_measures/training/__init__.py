"""Loss, optimiser, loop, checkpoints and the launcher."""
