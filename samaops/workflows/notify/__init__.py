"""Who is told what: silences, what is news, messages for programs, and the test of each channel."""
