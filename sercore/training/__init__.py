"""Optimisers, device, the training loop, resuming, and one experiment."""
