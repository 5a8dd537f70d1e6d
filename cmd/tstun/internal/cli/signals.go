package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

const (
	// takedownTimeout bounds how long a command may take, after a signal, to
	// remove what it has made, unless it expects to take longer.
	takedownTimeout = 3 * time.Second
	// sameSignal is how long after the first signal others are taken for it:
	// timeout(1), for one, sends each to the process and then to its group.
	sameSignal = 500 * time.Millisecond
)

// Main runs a command line in the environment of this process and returns the
// exit code.
//
// The first SIGINT or SIGTERM ends the command's context. Main does not wait
// for the command after a second signal, later than half a second, nor for longer than 3 s, or what the
// command expects, after the first. The caller ends the process then, and Main
// says what is left.
func Main(args []string) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	env := ui.System(ctx)
	done := make(chan int, 1)
	go func() { done <- Run(ctx, env, args) }() // ends with the command, or with the process
	select {
	case code := <-done:
		return code
	case <-signals:
		cancel()
	}
	first, timeout := time.Now(), time.After(env.Takedown.Within(takedownTimeout))
	for waits := true; waits; {
		select {
		case code := <-done:
			return code
		case <-signals:
			waits = time.Since(first) < sameSignal
		case <-timeout:
			waits = false
		}
	}
	ui.WriteError(env.Stderr, env.Takedown.Left())
	return exitFailed
}
