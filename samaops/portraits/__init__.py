"""How a site is set up, taken from what was observed, and what is different from an earlier time. Pure."""
