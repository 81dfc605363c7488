"""``python -m tinygrad_rnn`` is the command ``tinygrad-rnn``."""

from .cli import main

try:
    main(prog_name="tinygrad-rnn")
finally:
    # After a KeyboardInterrupt inside exec() of a string, which is how dataclasses write their methods, CPython ends
    # a "python -m" process by that signal whatever the exit code, even if the interrupt was caught. The next exec()
    # takes that back.
    exec("")
