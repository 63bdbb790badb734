"""Reference solutions of the course, one package per technique."""
