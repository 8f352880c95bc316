"""Changes: plan, apply, verify, undo. A room a system; ``run`` holds the doers, ``registered`` names them all."""
