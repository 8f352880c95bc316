"""Run samaops as ``python -m samaops``."""

from samaops.cli.main import main

if __name__ == "__main__":
    main()
