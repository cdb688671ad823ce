"""A wake word on frames: trained on windows, built as a stream, listening."""
