"""Differentiable images: what is optimised, its colour space, and reading and writing pictures."""
