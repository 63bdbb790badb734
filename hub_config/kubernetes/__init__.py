"""The course on Kubernetes: what Zero to JupyterHub is told, and what stands beside it."""
