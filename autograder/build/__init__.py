"""From `source/<lab>/*.py` to what students receive, with proofs that it is what it claims to be."""
