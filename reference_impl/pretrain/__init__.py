"""Build the course's data sets and train its tiny models: ``python -m reference_impl.pretrain``."""
