"""What can go wrong on the user's side, each with the exit code that the command line gives it."""


class CornerNetError(Exception):
    """A failure with a message fit for one line on the terminal: what, where, how to mend."""

    exit_code = 1


class InputError(CornerNetError):
    """Something the user gave (a file, a field, a flag) cannot be used."""

    exit_code = 2


class DivergedError(CornerNetError):
    """A training loss became infinite or not a number."""

    exit_code = 3


class InterruptedRun(CornerNetError):
    """A signal ended the run after its state was saved; the exit code is 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
