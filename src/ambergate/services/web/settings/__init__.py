"""A service's configuration: one TOML file and the environment, read strictly into types that say what there is.

types      struct tables, each setting with its description: `tables.py` for what both services have, the service's own
sources    file and environment, put together; where each value is from
shape      what the types say: every setting by name, unknown names, wrong values, the nearest known name
reading    the two together: `read`
problems   all that is wrong, not only the first
files      what the settings name: are these files there, readable, closed to others, what they should be?
effective  the settings in force, secrets redacted
page       docs/configuration.md
"""
