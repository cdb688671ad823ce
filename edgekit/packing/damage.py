"""What is raised, inside this room, where an archive can't be what a packer wrote."""


class Damaged(ValueError):
    """The message says what is wrong; ``unpack`` makes an InputError of it."""
