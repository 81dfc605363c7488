"""The command ``tinygrad-rnn``, also as ``python -m tinygrad_rnn``."""

import sys

from .errors import MissingPackageError
from .optional_packages import needed


def run() -> None:
    """Run the command; where it lacks a package, end with a sentence that says which."""
    try:
        with needed("the command tinygrad-rnn"):
            from .cli import main
    except MissingPackageError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        main(prog_name="tinygrad-rnn")
    finally:
        # After a KeyboardInterrupt inside exec() of a string, which is how dataclasses write their methods, CPython
        # ends a "python -m" process by that signal whatever the exit code, even if the interrupt was caught. The next
        # exec() takes that back.
        exec("")


if __name__ == "__main__":
    run()
