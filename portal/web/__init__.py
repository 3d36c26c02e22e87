"""The HTML doors, one module per room they open."""
