"""What the benchmarks of the local cloud send, and the bounds that they compare with."""
