"""What a candidate costs where it will run: written as a file, and counted or timed by the harness."""
