"""What runs beside the application: from quote to token, from token to secret.

Only the standard library, and `cryptography` when a secret has to be unwrapped: this code runs inside enclaves,
where every import is measured and every megabyte is paid for.
"""
