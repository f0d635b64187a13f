"""Many runs handed to whatever trains them: a cluster, a list of commands, this machine."""
