"""State in SQL: what the services remember. Nothing here knows which service uses it."""
