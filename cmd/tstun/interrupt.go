package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

var (
	// errAbandoned is the error of a command that is to end and was not
	// waited for: its goroutine may still be at work.
	errAbandoned = errors.New("interrupted")
	// errInterrupted is the error of a write that was not waited for.
	errInterrupted = errors.New("interrupted")
)

// interruptible makes cmd, and all commands below it, end with
// errAbandoned when their context does, whatever they wait for or compute
// then: a file that nobody writes to, standard input, a difference of two
// large policies. What they began goes on until the process ends, so this is
// not for commands that have something to take down.
func interruptible(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		interruptible(c)
	}
	work := cmd.RunE
	if work == nil {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		done := make(chan error, 1)
		go func() { done <- work(cmd, args) }()
		select {
		case err := <-done:
			return err
		case <-cmd.Context().Done():
			return failf("", "%w", errAbandoned)
		}
	}
}

// lastWords bounds how long a write may take once the command is to end.
const lastWords = 100 * time.Millisecond

// stream is an output to which no write lasts much longer than ctx: a pipe
// that nobody empties cannot keep a command from ending. One goroutine at a
// time writes to it.
type stream struct {
	w         io.Writer
	ctx       context.Context
	abandoned atomic.Bool // a write was not waited for, so no other may follow
}

func newStream(ctx context.Context, w io.Writer) *stream { return &stream{w: w, ctx: ctx} }

// Write implements io.Writer. It does not keep b.
func (s *stream) Write(b []byte) (int, error) {
	if s.abandoned.Load() {
		return 0, errInterrupted
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	own := bytes.Clone(b) // which may be written when the caller has gone on
	go func() {
		n, err := s.w.Write(own)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return r.n, r.err
	case <-s.ctx.Done():
	}
	select {
	case r := <-done:
		return r.n, r.err
	case <-time.After(lastWords):
		s.abandoned.Store(true)
		return 0, errInterrupted
	}
}
