// Command tstun shows and, in time, runs WireGuard tunnels with policy,
// visibility and no need for root. Run "tstun help" for its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

func main() { os.Exit(realMain()) }

// takedown bounds how long a command that is to end may take to remove what it
// made.
const takedown = 3 * time.Second

// realMain ends at the first SIGINT or SIGTERM: every command at once, the
// demo after it has taken down its nodes. At the second, or when takedown is
// over, it ends whatever is still going on.
func realMain() int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan int, 1)
	go func() { done <- run(ctx, ui.System(ctx), os.Args[1:]) }() // until the process ends
	select {
	case code := <-done:
		return code
	case <-signals:
		cancel()
	}
	select {
	case code := <-done:
		return code
	case <-signals:
	case <-time.After(takedown):
	}
	return exitFailed
}
