"""From a picture back to the objective it visualizes, and networks compared by it."""
