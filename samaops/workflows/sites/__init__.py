"""Several sites at once: which there are, all of them looked at side by side, their reports as one."""
