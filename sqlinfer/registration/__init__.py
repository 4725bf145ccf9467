"""Register: convert, inspect, try, prove, store."""
