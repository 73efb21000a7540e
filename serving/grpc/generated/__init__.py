"""Made from inference.proto by `make proto`; not to be edited."""
