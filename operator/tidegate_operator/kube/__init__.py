"""The apiserver: its client, informers and what reads or repeats its objects. Nothing here knows what a run is."""
