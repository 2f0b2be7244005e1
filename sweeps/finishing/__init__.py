"""What happens once the trials are over."""
