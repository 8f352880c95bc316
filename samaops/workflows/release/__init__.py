"""The looks at releases, a module each."""
