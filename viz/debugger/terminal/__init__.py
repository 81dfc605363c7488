"""The line debugger: a session steered by typed commands, in the manner of pdb."""
