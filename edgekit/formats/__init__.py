"""Model files as plain data: reading and writing, without torch and without any runtime."""
