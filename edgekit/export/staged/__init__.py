"""Early exits as one file a stage, and the loop that a host runs them in."""
