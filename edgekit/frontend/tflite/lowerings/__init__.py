"""One function per TFLite operator."""
