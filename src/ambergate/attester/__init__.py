"""Where evidence comes from: the pseudo-files of a trusted execution environment. Standard library only."""
