"""A set of names, written as a text."""


def words(text: str) -> frozenset[str]:
    """The names in a text, which is easier to read than a set of texts in quotes.

    >>> from tinygrad_rnn.words import words
    >>> sorted(words("item tolist"))
    ['item', 'tolist']
    """
    return frozenset(text.split())
