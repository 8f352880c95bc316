"""What is told of a period, by samples that a test has made."""
