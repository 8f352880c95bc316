"""The faces of a page: a screen, Markdown for a ticket, and one self-contained file of HTML."""
