"""The steps. Each is final once it is released: a mistake is mended by the next."""
