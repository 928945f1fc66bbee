"""The rack map: a picture of a cluster in characters, at any size.

The contract. A `model.Picture` is drawn by `draw.draw` without looking at anything else: no clock, no cluster. `world`
makes pictures from what is known of a cluster, `feed` keeps that fresh, `live` shows it on a terminal.
"""
