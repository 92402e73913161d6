"""Architectures, initial weights and forward passes of the networks."""
