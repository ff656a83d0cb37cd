"""Graminized images: from a container image and a manifest to an image whose program runs under Gramine.

The commands, arguments and `config.yaml` are those of Gramine Shielded Containers. What is done here: read images
(`layout`, `files`), decide what the program is (`program`), write one final manifest (`composition`) and the build's
recipe (`recipe`), and have an engine build it (`engine`, `building`, `signing`). Nothing here runs in an enclave.
"""
