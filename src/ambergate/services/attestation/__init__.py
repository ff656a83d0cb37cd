"""The attestation service: verifies evidence, appraises it, issues tokens."""
