"""How a session is shown: one small file per form."""
