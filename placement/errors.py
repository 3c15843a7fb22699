"""The one kind of error that is the user's to mend."""


class UserError(Exception):
    """A mistake in what the user gave: one sentence that says what is wrong, where, and what to do.

    Everything else that is raised is a bug and keeps its traceback.
    """
