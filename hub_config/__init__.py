"""JupyterHub serves the course: one runnable folder per deployment, what they share beside them."""
