"""One symptom at a time: its hops, its cause and its fixes; the same by hand; a canary through every hop."""
