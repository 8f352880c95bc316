"""The doers: each kind of operation of a plan, run for real. Only here do changes meet clients."""
