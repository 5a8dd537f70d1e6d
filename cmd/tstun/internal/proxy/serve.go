package proxy

import (
	"context"
	"net"
	"sync"
	"time"

	"tstun/internal/relay"
	"tstun/logger"
)

// server accepts connections and has each handled in a goroutine.
type server struct {
	name   string // for log lines
	limit  int    // connections at once
	logf   logger.Logf
	handle func(context.Context, net.Conn)
}

// serve accepts connections of l until ctx ends or l fails, and returns nil in
// the first case. It closes l and all connections, also those that handle
// leaves open, and waits for handle.
func (s server) serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	slots := newSlots(s.limit, s.name, s.logf)
	for {
		c, err := s.accept(ctx, l)
		if ctx.Err() != nil {
			if err == nil {
				relay.Reset(c)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if !slots.take() {
			relay.Reset(c)
			continue
		}
		running.Go(func() {
			defer slots.give()
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			s.handle(ctx, c)
		})
	}
}

const (
	firstPause = 5 * time.Millisecond // as net/http's Server does
	maxPause   = time.Second
)

// accept waits for a connection. It outlasts errors that pass, such as a lack
// of file descriptors.
func (s server) accept(ctx context.Context, l net.Listener) (net.Conn, error) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		c, err := l.Accept()
		if err == nil || !isTemporary(err) {
			return c, err
		}
		s.logf("%s: %v; trying again in %v", s.name, err, pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func isTemporary(err error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// slots counts what is served at once.
type slots struct {
	name  string
	logf  logger.Logf
	limit int

	mu   sync.Mutex // guards what follows
	used int
	full bool // and it was logged
}

func newSlots(limit int, name string, logf logger.Logf) *slots {
	return &slots{limit: limit, name: name, logf: logf}
}

// take reports whether there was room. It logs the first time that there was
// none since the slots were half empty.
func (s *slots) take() bool {
	s.mu.Lock()
	fits := s.used < s.limit
	if fits {
		s.used++
	}
	first := !fits && !s.full
	s.full = s.full || first
	s.mu.Unlock()
	if first {
		s.logf("%s: %d are served, which is the limit: more are refused", s.name, s.limit)
	}
	return fits
}

func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if s.used <= s.limit/2 {
		s.full = false
	}
}

func orDiscard(logf logger.Logf) logger.Logf {
	if logf == nil {
		return logger.Discard
	}
	return logf
}
