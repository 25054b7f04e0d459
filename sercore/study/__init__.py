"""A parameters file -> runs -> workers -> notebooks; progress, costs and verification. It never trains itself."""
