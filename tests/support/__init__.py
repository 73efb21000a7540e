"""What many tests use: small models, a virtual clock, real servers."""
