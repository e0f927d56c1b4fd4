"""How bytes are cut into parts, without any opinion on what the parts mean."""
