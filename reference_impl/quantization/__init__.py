"""Post-training quantization, quantization-aware training and weight-only quantization."""
