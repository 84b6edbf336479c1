"""The optimisation loop: a recipe in, a rendering out."""
