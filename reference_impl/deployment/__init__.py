"""From a trained float32 network to a small ONNX file behind an HTTP port, step by step: see `docs/deployment.md`."""
