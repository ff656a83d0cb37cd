"""Rego policies, judged in worker processes that can be killed: deadline, memory limit, no environment, no network."""
