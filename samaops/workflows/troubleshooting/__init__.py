"""One symptom at a time: its stations, its cause and its fixes; the same by hand; a canary through every station."""
