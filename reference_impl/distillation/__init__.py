"""Reference solutions of the distillation labs, one technique a module."""
