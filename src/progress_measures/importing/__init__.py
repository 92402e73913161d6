"""Networks that others trained: read from their files, recognized, and put under every measure.

reading     a file becomes plain data; nothing in it is run
contents    plain data become networks over epochs, with what is said of their training
names       their tensors get our names and orientations, by a format: one file each in formats/, or the user's own
recognize   the sizes, and by its own answers the operation
splits      which pairs the network was trained on
settings    all of that as an experiment's settings, with what was recognized and what assumed
writing     the files that a training would have left
bring_in    all of it in order; then measured and gathered as any run is
"""
