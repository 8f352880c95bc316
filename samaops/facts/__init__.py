"""What was observed, one module per system, and the engine that observes side by side."""
