"""Run samaops as ``python -m samaops``."""

from samaops.cli.start import main

if __name__ == "__main__":
    main()
