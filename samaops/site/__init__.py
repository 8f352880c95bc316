"""The site: what the configuration says about SamaConso, by name, and how its commands are shown to people."""
