"""The errors a user may meet, each with the exit code of the command line. Every message says what was expected, what was
found and what to do next.

    KefuError
    ├── BadInput            exit 2: wrong use, a broken recipe, a malformed data file
    ├── CheckFailed         exit 1: the gate refused, or a check found something
    └── EnvironmentLacks    exit 3: a package, a model, memory, disk or a free port is missing
"""


class KefuError(Exception):
    """An error with a message for the user; anything else that escapes is a bug of ours."""

    exit_code = 2


class BadInput(KefuError):
    """What the user gave cannot be used as it is."""

    exit_code = 2


class CheckFailed(KefuError):
    """A gate or a check said no."""

    exit_code = 1


class EnvironmentLacks(KefuError):
    """This machine lacks something; the message says what to install or free."""

    exit_code = 3
