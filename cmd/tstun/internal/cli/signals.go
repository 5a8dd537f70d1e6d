package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

// takedownTimeout bounds how long a command may take, after a signal, to remove
// what it has made.
const takedownTimeout = 3 * time.Second

// Main runs a command line in the environment of this process and returns the
// exit code.
//
// The first SIGINT or SIGTERM ends the command's context. Main does not wait
// for the command after a second signal, nor for longer than 3 s after the
// first. The caller ends the process then.
func Main(args []string) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan int, 1)
	go func() { done <- Run(ctx, ui.System(ctx), args) }() // ends with the command, or with the process
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
	case <-time.After(takedownTimeout):
	}
	return exitFailed
}
