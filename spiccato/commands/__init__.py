"""The commands of `spiccato`, a file each: what can be asked and how it is explained. The work is done elsewhere.

What a command needs is imported when it runs: `--help` must not wait for compiled kernels.
"""
