"""The HTTP interface, spoken to over real TLS."""
