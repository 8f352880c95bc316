-- Purpose: hand over two passwords as parameters, out of every statement's text. Needs: any role.
SELECT set_config('samaops_lab.password', %s, false), set_config('samaops_lab.monitoring_password', %s, false)
