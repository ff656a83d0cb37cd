"""A software platform of SGX and TDX: it forges evidence and endorsements under its own root, and never judges any.

It shares the codecs with the verifier and nothing else. A simulated root is just another trust anchor: whoever
accepts it must have been told to.
"""
