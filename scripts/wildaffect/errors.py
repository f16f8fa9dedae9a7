"""The one exception that carries a message for the user, and the exit status after an interrupt."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class InputError(Exception):
    """Input that cannot be used: names the file, says what is wrong and what to do.

    Stages and the command line print the message alone, without a traceback, and exit with status 1.
    """
