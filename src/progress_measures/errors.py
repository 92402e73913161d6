"""Errors that are for people."""


class UserError(Exception):
    """Something that the user can mend: shown as one message, without a traceback, with exit status 2.

    The message says what is wrong, in which file and field, what was expected and what to do.
    """
