package up

// withholdMemory keeps keys from leaving the process by its memory: no core is
// written of it, and other processes of the user cannot read it where the
// system can tell. What it starts may write cores again on Linux.
func withholdMemory() error { return withhold() }
