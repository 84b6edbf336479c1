"""What data tell of units: one streaming pass of a dataset through a model, and the tables that hold what is known."""
