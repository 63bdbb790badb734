"""What students of the model-compression course import: models, data, checks, measurements.

`labkit` holds no solution. Importing it loads neither torch nor transformers: each module is
imported by name (`from labkit import checks, zoo`), so a notebook pays only for what it uses.
"""

__version__ = "0.1.0"
