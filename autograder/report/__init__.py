"""What students and staff read afterwards."""
