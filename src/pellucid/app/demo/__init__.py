"""The demo: what the embedded network sees, as a contact sheet and a page."""
