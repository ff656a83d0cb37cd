"""Where Intel's statements come from: its PCS, a PCCS, or a directory. Nothing here believes them."""
