"""From a manifest as users write it to one that stock Gramine builds. Nothing here runs in an enclave."""
