"""The hub from outside: real processes, real HTTPS, a real disk."""
