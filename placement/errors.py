"""The one kind of error that is the user's to mend."""

import unicodedata

# Control characters, halves of characters, and separators of lines: what is quoted from an input
# may hold them, and a terminal would obey.
_UNSHOWABLE = {"Cc", "Cs", "Zl", "Zp"}


def shown(text: str) -> str:
    """Return a text with escapes for what cannot be shown; line ends stay."""
    return "".join(
        ascii(character)[1:-1]
        if unicodedata.category(character) in _UNSHOWABLE and character != "\n"
        else character
        for character in text
    )


class UserError(Exception):
    """A mistake in what the user gave: one sentence that says what is wrong, where, and what to do.

    Everything else that is raised is a bug and keeps its traceback.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shown(sentence))
