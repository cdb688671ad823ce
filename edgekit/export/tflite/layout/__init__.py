"""Which order of axes each value has in the file: forms, what moves between them costs, and the assignment."""
