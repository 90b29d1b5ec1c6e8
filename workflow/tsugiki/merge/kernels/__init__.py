"""Compiled loops over the elements of tensors, for the processor.

Each does in one pass what a formula in torch does in several, with the same float32 operations in
the same order, so that the bits are equal (which the tests check for every loop).

Tensors come flat, as the bits of their elements: uint32 for float32, uint16 for bfloat16 (the upper
half of a float32). Models are worked through in blocks that stay in the first-level cache.

`python -m tsugiki.merge.kernels` compiles all of them once, for all processes on such a processor.
"""
