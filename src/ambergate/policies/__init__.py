"""What policies are written in beyond the standard library: YAML, for who has pyyaml installed."""
