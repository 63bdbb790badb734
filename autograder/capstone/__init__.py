"""The capstone: a compressed network handed in as data, rebuilt and measured by the judge.

``artifact``     reads the two files of a hand-in, within limits.
``decoder``      turns stored integers, scales and bitmaps back into a network.
``measure``      quality on transformed held-out pictures, size, and score.
``leaderboard``  all hand-ins as one page.
"""
