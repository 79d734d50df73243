"""Where keys, trust and the authority's records live. This is the part of ``pki`` that touches the world."""
