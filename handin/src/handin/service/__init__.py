"""The hand-in service, a managed service of JupyterHub."""
