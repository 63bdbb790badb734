"""A semester in miniature: one lab released, handed in by eight students, graded, given back."""
