"""The parts of a month's page, each a list with what is drawn of it: from what was gathered alone."""
