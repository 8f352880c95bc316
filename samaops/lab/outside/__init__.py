"""The world outside SamaConso's three servers: load balancer, Senelec proxy, Google, SQL Server, mail.

``parts`` prepares the files and describes the processes; each other module is one stand-in.
"""
