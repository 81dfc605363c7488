"""The debugger as one HTML page."""
