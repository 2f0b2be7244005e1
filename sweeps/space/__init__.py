"""Search spaces, and which recipe a trial gets."""
