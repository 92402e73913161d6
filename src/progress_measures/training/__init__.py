"""Loss, optimizer, loop, checkpoints and the launcher."""
