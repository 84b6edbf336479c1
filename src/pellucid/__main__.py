"""`python -m pellucid`: the program, where its script is not on the PATH."""

from pellucid.app.cli.main import main

if __name__ == "__main__":
    main()
