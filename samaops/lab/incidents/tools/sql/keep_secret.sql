-- Purpose: hand over a secret as a parameter, out of every statement's text. Needs: any role.
SELECT set_config('samaops_lab.secret', %(secret)s, false)
