"""Import networks trained elsewhere: read their files, find their settings and compute the measures that apply.

The modules of this package, each followed by what it does, and in parentheses the modules that it uses for this:

reading         reads a file into plain data; nothing in the file is executed (with `inert` and `plain`)
contents        finds the networks, their epochs and the records of their training in this data (with `stated`)
names           renames tensors and reorders their axes as in this project, by a file in formats/ or a mapping file
sizes           finds the number n of operand values and the layout of the tokens
designs         lists the designs (activation function, norms, mask, …) that agree with file, options and tensors
recognize       chooses the design from the network's answers to a sample of pairs
forward         computes the logits by the user's own forward pass, if the user gives one (with `callables`)
operations      compares the network's answers with operations such as a + b mod n
splits          finds the pairs on which the network was trained
settings        turns the findings into an experiment's settings, each with its source, and reports contradictions
writing         writes the files that training would have written
import_network  runs these steps in order, then computes the measures that apply and gathers the cube as for any run
recorder        measures a network in memory while another program trains it
findings        the classes for a setting or a value with its source
options         parses the options `--model` and `--read`
"""
