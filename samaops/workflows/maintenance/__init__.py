"""What is done regularly: a routine is a table of tasks, and one way to run any of them."""
