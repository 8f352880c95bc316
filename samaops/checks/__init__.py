"""Pure judgements: facts and thresholds in, findings out. One module per system."""
