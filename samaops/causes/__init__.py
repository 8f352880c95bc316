"""From findings to root causes. Pure."""
