"""Architectures, designs, initial weights, forward passes and gradients of the networks."""
