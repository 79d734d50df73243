"""Work that nobody waits for: delivering what was accepted, closing what has expired."""
