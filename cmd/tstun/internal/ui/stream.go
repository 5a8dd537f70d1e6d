package ui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// ErrInterrupted is the error of a write that a Stream gave up.
var ErrInterrupted = errors.New("interrupted")

// lastWrite bounds how long a Stream blocks a write after its context has
// ended.
const lastWrite = 100 * time.Millisecond

// Stream is an output that stops blocking when its context ends: a pipe that
// nobody empties cannot keep a command from ending. One goroutine at a time
// writes to it. Make one with NewStream.
type Stream struct {
	w         io.Writer
	ctx       context.Context
	abandoned atomic.Bool // a write is still blocked, so another must not start
}

// NewStream returns a Stream that writes to w until ctx ends.
func NewStream(ctx context.Context, w io.Writer) *Stream { return &Stream{w: w, ctx: ctx} }

// Write implements io.Writer. After the context has ended, it blocks for at
// most 100 ms; then it and every later call return ErrInterrupted. It does not
// keep b.
func (s *Stream) Write(b []byte) (int, error) {
	if s.abandoned.Load() {
		return 0, ErrInterrupted
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	own := bytes.Clone(b) // the write may outlast this call
	go func() {           // ends with the write, or with the process
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
	case <-time.After(lastWrite):
		s.abandoned.Store(true)
		return 0, ErrInterrupted
	}
}

// Close closes what the Stream writes to, if that can be closed.
func (s *Stream) Close() error {
	if c, ok := s.w.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
