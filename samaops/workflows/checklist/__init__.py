"""The checklists of going live: look at what they name, say how each item is, keep it, and give the page for the meeting."""
