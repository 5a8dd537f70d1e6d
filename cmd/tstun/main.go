// Command tstun shows and, in time, runs WireGuard tunnels with policy,
// visibility and no need for root. Run "tstun help" for its commands.
package main

import (
	"os"

	"tstun/cmd/tstun/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
