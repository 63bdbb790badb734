"""One module per command of `course`."""
