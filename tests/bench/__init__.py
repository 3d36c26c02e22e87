"""``make bench``: the portal, its floors and its peer measured side by side in one run."""
