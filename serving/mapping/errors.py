"""What can end a run over a table.

MappingError
├── CannotMap        the files, columns or options do not go together; says what to do
└── TooManyRejected  more rows had to be set aside than were allowed
"""


class MappingError(Exception):
    """Whatever this package has to say to who started a run."""


class CannotMap(MappingError):
    """A mistake that whoever started the run can put right."""


class TooManyRejected(MappingError):
    """More rows than allowed could not be used. What was written so far stays."""

    def __init__(self, *, rejected: int, limit: int, first: str) -> None:
        super().__init__(
            f"{rejected} rows had to be set aside, and {limit} are allowed; the first: {first}"
        )
        self.rejected, self.limit = rejected, limit
