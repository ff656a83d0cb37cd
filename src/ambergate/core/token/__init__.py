"""The attestation token: making it (`issue`, `profiles`) and checking it (`check`, which knows nothing of quotes)."""
