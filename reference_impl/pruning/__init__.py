"""Reference solutions of the pruning labs, one technique a module."""
