"""The line debugger: a session under the hand, in the manner of pdb."""
