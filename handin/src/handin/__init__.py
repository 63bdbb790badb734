"""Handing in: a service that keeps what students hand in, and nbgrader's exchange on top of it.

The service knows a student by the Hub's token alone, believes only its own clock, and never changes what
it took. It holds no solution, and of grades only what students are told. `handin.exchange` runs in students' servers.
"""
