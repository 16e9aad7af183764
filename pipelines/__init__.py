"""Archive to shards to batches: the floor that every other package stands on."""
