"""Property tests are not timed: the first torch call of a process takes longer than the others."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
