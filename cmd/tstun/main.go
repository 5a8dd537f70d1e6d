// Command tstun shows and, in time, runs WireGuard tunnels with policy,
// visibility and no need for root. Run "tstun help" for its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(realMain()) }

// realMain ends at the first SIGINT or SIGTERM in an orderly way, and at the
// second at once.
func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, systemEnvironment(), os.Args[1:])
}
