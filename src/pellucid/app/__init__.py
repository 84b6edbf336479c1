"""Front doors: they parse, call and print."""
