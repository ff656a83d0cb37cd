"""Release of secrets: what an owner asks of an enclave, the decision, and the sealed envelope."""
