"""Import networks that were trained elsewhere: read their files, identify their settings and apply every measure.

reading         reads a file into plain data; nothing in the file is executed
contents        finds the networks, their epochs and the records of their training in this data
names           gives tensors the project's names and axis order, by a format: a file in formats/ or the user's own
recognize       finds the sizes and, from the network's own answers, the operation
splits          finds the pairs on which the network was trained
settings        expresses all of this as an experiment's settings and lists what was recognized and what was assumed
writing         writes the files that training would have written
import_network  runs all steps in order, then measures and gathers as for any run
"""
