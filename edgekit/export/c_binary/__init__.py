"""Binary networks as plain C99 for bare metal: packed signs, XNOR and popcount, integer thresholds, static memory."""
