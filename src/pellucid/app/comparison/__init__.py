"""The page of a comparison: matched units of two networks, side by side."""
