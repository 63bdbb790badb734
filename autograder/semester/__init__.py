"""The end of a semester and the beginning of the next: an archive that people can read, then an empty class."""
