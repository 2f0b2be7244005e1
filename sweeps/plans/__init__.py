"""What a run is going to do, checked before anything starts."""
