"""Random differentiable transforms of images, drawn separately for every image."""
