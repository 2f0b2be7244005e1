"""`digits mcp`: a Model Context Protocol server on stdio, for programs that use digits on somebody's behalf.

command.py  the command
tools.py    the tools: which commands are offered, their schemas, what a client may ask of them
jobs.py     commands that take long: started, watched, stopped
process.py  the process of such a command, which ends when the server does
server.py   the protocol
"""
