"""A network, the names of its units, and its activations."""
