"""One module per system; the only place that opens a connection or starts a process."""
