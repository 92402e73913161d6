"""The data of an experiment: the dataset on disk, and the examples of each update."""
