"""Every unit of a model, rendered and stored: plan, run, resume, read."""
