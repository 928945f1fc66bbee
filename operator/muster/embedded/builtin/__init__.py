"""What the API server does to built-in kinds beside keeping them: defaults, rules, admission, quota, calls of pods.

The contract. `behaviour.Behaviour` is what every kind has; `builtins` and `pods` say what is special about each, in the
order and the words of the real server.
"""
