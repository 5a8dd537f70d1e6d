package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tstun"
	"tstun/capture"
	"tstun/cmd/tstun/internal/proxy"
	"tstun/filter"
	"tstun/flowlog"
	"tstun/logger"
	"tstun/policy"
	"tstun/tundev"
	"tstun/tunnel"
)

// Limits of what clients can take.
const (
	maxConnections = 128      // at once
	maxStreams     = 64       // requests at once that last: events, connect, profiles
	maxHeader      = 16 << 10 // bytes
	readTimeout    = 5 * time.Second
	writeTimeout   = 10 * time.Second // of one answer, or of one line of a stream
	idleTimeout    = 30 * time.Second
	lastAnswers    = time.Second // for answers that are being written at the end
)

// Tunnel is what a Server tells of. *tunnel.Tunnel is one.
type Tunnel interface {
	Status() tunnel.Status
	Events(ctx context.Context) <-chan tunnel.Event
	Diagnose(ctx context.Context) []tundev.Finding
	ExplainNew(filter.Direction, policy.Flow) filter.Explanation
	FlowsBetween(src, dst, proto string) ([]policy.Flow, error)
	DirectionOf(policy.Flow) filter.Direction
	Explain(context.Context, filter.Direction, policy.Flow) tunnel.Explanation
	Trace(ctx context.Context, f policy.Flow, wait time.Duration) (tunnel.Trace, error)
	Observe(func(*tstun.Observation)) (stop func(), err error)
	PacketNames() *tunnel.PacketNames
	Audit(since time.Time, limit int) (*tunnel.Audit, error)
	Traffic(since time.Time) tunnel.Traffic
	Seen(tunnel.FlowQuery) (iter.Seq[policy.Seen], error)
	PlanPolicy(text []byte, host string, q tunnel.FlowQuery) (*policy.Plan, error)
	PolicyText() tunnel.PolicyText
	PolicyHistory() tunnel.PolicyHistory
	TryPolicy(text []byte, within time.Duration) error
	ConfirmPolicy() error
	RollBackPolicy() error
	Flows(tunnel.FlowQuery) (*tunnel.FlowList, error)
	WatchFlows(match func(*flowlog.Record) bool) (*tunnel.FlowWatch, error)
}

// Running is a tunnel that runs, and what can be done with it.
type Running struct {
	Tunnel  Tunnel
	Network proxy.Network // through the tunnel, for connections
	// Reload reads the configuration and the policy again. What is refused
	// changes nothing.
	Reload func(ctx context.Context) error
	// History has packets that have passed. Nil: none are kept.
	History *capture.History
}

// Server answers for one tunnel. Its methods may be called from any goroutine.
// Listen makes one.
type Server struct {
	name, path string
	file       fs.FileInfo // of the socket
	logf       logger.Logf
	http       *http.Server
	served     chan struct{} // closed when http has ended
	streams    chan struct{} // a place for each request that lasts
	snapshots  chan struct{} // a place for each answer about flows
	ctx        context.Context
	cancel     context.CancelFunc // ends what lasts

	running atomic.Pointer[Running] // nil before Serve

	askDown sync.Once
	down    chan struct{} // closed when a client asked for the end
	ended   chan struct{} // closed by Close, when all is undone
	problem string        // what could not be undone; set before ended is closed

	mu     sync.Mutex // guards closed, and the first Add to work
	closed bool
	work   sync.WaitGroup // requests
}

// Listen claims the name for this process and starts to answer: that the tunnel
// is starting, until Serve. dir is the first of Dirs. If a tunnel of that name
// runs, the error is an ErrRuns with its process. logf may be called from any
// goroutine.
func Listen(dir, name string, logf logger.Logf) (*Server, error) {
	l, path, err := listen(dir, name)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	file, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	s := &Server{
		name: name, path: path, file: file, logf: logf, served: make(chan struct{}), streams: make(chan struct{}, maxStreams), snapshots: make(chan struct{}, maxFlowAnswers),
		down: make(chan struct{}), ended: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ConnContext: withPermission,
		ErrorLog:    log.New(writer{logf}, "", 0),
	}
	go func() { // ends with Close
		defer close(s.served)
		if err := s.http.Serve(limit(l, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			logf("control: %v", err)
		}
	}()
	return s, nil
}

// Path returns where the socket is.
func (s *Server) Path() string { return s.path }

// Serve answers for a tunnel from now on.
func (s *Server) Serve(r Running) { s.running.Store(&r) }

// Down returns a channel that is closed when a client asks the tunnel to end.
func (s *Server) Down() <-chan struct{} { return s.down }

// Close tells who waits for the end that all is undone, but for what err says,
// and ends all requests and connections. Nothing of the Server is left then. A
// second Close does nothing.
func (s *Server) Close(err error) error {
	if !s.beginClose() {
		return nil
	}
	if err != nil {
		s.problem = err.Error()
	}
	close(s.ended)
	removed := s.remove()
	ctx, cancel := context.WithTimeout(context.Background(), lastAnswers)
	defer cancel()
	s.cancel()
	_ = s.http.Shutdown(ctx) // lets answers out that are being written
	closed := s.http.Close()
	<-s.served
	s.work.Wait()
	return errors.Join(removed, closed)
}

// beginClose reports whether this is the first Close. No request begins after it.
func (s *Server) beginClose() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.closed
	s.closed = true
	return first
}

// remove removes the socket, unless another has taken its place.
func (s *Server) remove() error {
	now, err := os.Lstat(s.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, s.file) {
		return nil
	}
	return errors.Join(err, os.Remove(s.path))
}

// begin reports whether a request may begin, which ends with s.work.Done.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// writer has what net/http logs in the log.
type writer struct{ logf logger.Logf }

func (w writer) Write(line []byte) (int, error) {
	w.logf("control: %s", bytes.TrimSpace(line))
	return len(line), nil
}
