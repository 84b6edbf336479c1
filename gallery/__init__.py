"""What each source document of Pellucid shows, drawn and measured: `python -m gallery` (`make gallery`)."""
