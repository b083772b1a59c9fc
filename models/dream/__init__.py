"""What a neuron, a filter or a whole layer hears: sounds that a finished network answers to most."""
