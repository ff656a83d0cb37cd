"""The key broker: secrets for enclaves whose attestation token the secret's owner approves."""
