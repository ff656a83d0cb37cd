"""The files below `/dev/amber`: what they are (`nodes`, `model`), and the ways to put them before a program."""
