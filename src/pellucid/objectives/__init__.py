"""From a network's activations to one score per image."""
