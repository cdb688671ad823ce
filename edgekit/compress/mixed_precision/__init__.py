"""Which layer gets how many bits: by what each costs and what its rounding does to the outputs."""
