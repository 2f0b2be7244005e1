"""The commands of `digits`: each reads its arguments, calls one function and prints. Heavy imports stay inside."""
