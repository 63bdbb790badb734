"""The embedded default: `make hub` on one machine, reachable from this machine only."""
