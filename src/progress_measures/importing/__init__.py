"""Import networks that were trained elsewhere: read their files, identify their settings and apply every measure.

reading         reads a file into plain data; nothing in the file is executed
contents        finds the networks, their epochs and the records of their training in this data
names           renames tensors and reorders their axes as in this project, by a file in formats/ or a mapping file
recognize       finds n and, from the network's answers to all pairs, the operation, the heads and the LayerNorms
splits          finds the pairs on which the network was trained
settings        turns the findings into an experiment's settings, and lists what was recognized and what was assumed
writing         writes the files that training would have written
import_network  runs these steps in order, then computes all measures and gathers the cube as for any run
"""
