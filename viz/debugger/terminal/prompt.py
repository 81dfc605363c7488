"""A line typed on a terminal, with completion and a history: prompt_toolkit's, which are on every platform."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tinygrad_rnn.optional_packages import needed


def asker(completions: Callable[[str], list[str]]) -> Callable[[str], str]:
    """A function that asks for a line, as ``input`` does; Tab offers the ``completions`` of the last word.

    ``completions`` is given the line up to the cursor. The arrow keys bring earlier lines back. Ctrl-C and the input's
    end raise what they do in ``input``. Raises `MissingPackageError` without prompt_toolkit.
    """
    with needed("completion and a history", "debugger"):
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import CompleteEvent, Completer, Completion
        from prompt_toolkit.document import Document
        from prompt_toolkit.shortcuts import CompleteStyle

    class Words(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            before = document.text_before_cursor
            word = re.split(r"\s", before)[-1]
            return (Completion(found, -len(word)) for found in completions(before))

    session: PromptSession[str] = PromptSession(
        completer=Words(), complete_while_typing=False, complete_style=CompleteStyle.READLINE_LIKE
    )
    return lambda prompt: session.prompt(prompt, in_thread=True)  # in a program that runs an event loop, too
