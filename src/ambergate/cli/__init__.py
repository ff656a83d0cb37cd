"""The `amber` command: composition root. The only place that reads the clock, prints and exits."""
