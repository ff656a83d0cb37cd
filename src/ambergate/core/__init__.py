"""The pure core: bytes and instants in, proven facts and decisions out. No I/O, no clock, no randomness."""
