"""Which resources to look at, how they are fetched, and the dated history of what was seen."""
