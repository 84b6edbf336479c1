"""The viewer: a local server of an atlas's pages, and a worker that renders what they ask for."""
