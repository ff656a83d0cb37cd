"""What is released, and what it is held to before it is: the parts of scripts/release_check.py."""
