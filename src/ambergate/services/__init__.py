"""The services: HTTP applications over the core. Each meets the others over HTTP only."""
