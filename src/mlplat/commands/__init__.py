"""One file per command group: bodies parse, call, and hand to output."""
