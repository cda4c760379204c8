"""``python -m hamon``: the command line, wherever its script is not on the path."""

from hamon.cli.main import main

if __name__ == "__main__":
    main()
