"""What can be wrong with a request's bytes."""


class InvalidRequest(Exception):
    """The bytes are not a request. The message names the field, what was expected, what came."""
