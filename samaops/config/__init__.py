"""Settings, where they are found, secrets."""
