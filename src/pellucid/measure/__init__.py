"""How far a unit's picture can be trusted: measures with a definition and a source each."""
