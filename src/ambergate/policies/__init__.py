"""Writing policies: the first text of one from what is known of an enclave, and YAML for who has pyyaml installed."""
