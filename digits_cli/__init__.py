"""The commands of `digits`: each reads its arguments, calls one function, prints. Heavy imports stay inside functions.

completing.py   what a shell completes
delivering.py   export and transfer
entry.py        where `digits` starts
explaining.py   help
finishing.py    what commands that train have in common: trials with progress, the finish, the page; sweep --then
judging.py      leaderboard, confirm, ensemble and doubts
looking.py      ls, show, watch and rm
moving.py       push, pull and track
notebook.py     runs from Python: what notebooks and scripts use
outside.py      judge and datasets split
predicting.py   predict and serve
searching.py    sweep, space and resume
shell.py        what all commands share: options, exit codes, errors in one line, stdout and stderr
showing.py      recipes, datasets, report and doctor
training.py     train, compare and replay
agents/         `digits mcp`, for programs that use digits
topics/         the texts of `digits help TOPIC`
printed/        what the commands print
"""
