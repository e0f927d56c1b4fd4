"""Read what rightsholders have reserved, decide what may be done, and prove it later."""
