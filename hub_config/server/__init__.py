"""One Debian 12 machine for a class: real memory limits, PostgreSQL, TLS, and a Hub that refuses to start unsafe."""
