"""Intel's statements about platforms (endorsements) as types. Parsed here, believed only after `verify`."""
