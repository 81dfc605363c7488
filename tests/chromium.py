"""Which Chromium the tests drive, and how."""

from __future__ import annotations

import os
import shutil

#: The first has no windows to draw, and takes half the processor time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PATH = next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
ABSENT = "there is no chromium on the PATH to drive"
