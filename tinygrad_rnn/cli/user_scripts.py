"""A function of the user's script as a command's target."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError, TinygradError


@contextmanager
def script_function(target: str) -> Iterator[Callable[..., Any]]:
    """The function ``script.py:function``, while its script's folder is on the path; its errors are the script's."""
    name, colon, function_name = target.rpartition(":")
    if not colon or not function_name.isidentifier():
        missing = "" if Path(target).exists() else "no file, and "
        raise DataError(f"{target!r} is {missing}not of the form script.py:function")
    script = Path(name).resolve()
    if not script.is_file():
        raise DataError(f"there is no script {name!r}")
    sys.path.insert(0, str(script.parent))
    try:
        function = runpy.run_path(str(script)).get(function_name)
        if not callable(function):
            raise DataError(f"{name} defines no function {function_name!r}")
        yield function
    except TinygradError:
        raise
    except SystemExit:
        raise DataError(f"{name} ended the program; guard its main part with if __name__ == '__main__'") from None
    except Exception as error:
        frames = traceback.walk_tb(error.__traceback__)
        own = [line for frame, line in frames if frame.f_code.co_filename == str(script)]
        line = own[-1] if own else getattr(error, "lineno", None)
        where = f"{name}, line {line}" if line else name
        raise DataError(f"{where}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(script.parent))
