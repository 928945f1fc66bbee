"""What a body must look like: custom kinds by their definitions, CEL included, and built-in kinds by their fields.

The contract. `schema.admit` prunes, fills, splits and judges a custom object and raises StatusError in the words of the
real server; `strictness` does for built-in kinds what decoding does there. Nothing here knows what is stored.
"""
