"""Changes: plan, apply, verify, undo. One module per system."""
