"""Graph -> bytes: one folder per kind of file, one function per op."""
