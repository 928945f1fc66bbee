"""What goes back: the forms that an Accept header asks for, tables as kubectl prints them, discovery and OpenAPI.

The contract. All of it is made from stored objects and the kinds that are served; nothing here writes.
"""
