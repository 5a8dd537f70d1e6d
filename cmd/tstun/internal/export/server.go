package export

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"tstun/logger"
)

// What clients can take. A request needs a connection, so the first bounds both.
const (
	maxConnections = 32
	headerTime     = 5 * time.Second  // to send a request
	answerTime     = 10 * time.Second // to make the answer: the time-out of a scrape by default
	writeTime      = 30 * time.Second // to make and take the answer
	idleTime       = 2 * time.Minute  // between requests: more than between two scrapes
	endTime        = time.Second      // for answers at the end, which are cut short
)

// Server serves /metrics, /readyz and /healthz over HTTP.
type Server struct {
	Source Source
	Logf   logger.Logf // nil: nothing is logged
}

// Serve serves the clients of l, which it closes, until ctx ends or l fails, and
// returns nil in the first case. Then no connection is left. A Server can serve many listeners at once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if s.Logf == nil {
		s = &Server{s.Source, logger.Discard}
	}
	s.warnIfOpen(l.Addr())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    8 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(lines{s.Logf}, "", 0),
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	err := h.Serve(netutil.LimitListener(l, maxConnections))
	ended := ctx.Err() != nil
	cancel()
	end(h)
	if ended {
		return nil
	}
	return fmt.Errorf("metrics: %w", err)
}

// end waits for answers, whose context has ended, and closes all connections.
func end(h *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	_ = h.Shutdown(ctx)
	_ = h.Close()
}

// warnIfOpen says who else can read what is served.
func (s *Server) warnIfOpen(a net.Addr) {
	at, err := netip.ParseAddrPort(a.String())
	if err == nil && at.Addr().IsLoopback() {
		return
	}
	s.Logf("warning: whoever reaches %v reads the names, public keys and traffic of all peers there", a)
}

func (s *Server) handler() http.Handler {
	registry := newRegistry(s.Source)
	pulse := pulse{source: s.Source, turn: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, CoalesceGather: true, Timeout: answerTime,
	}))
	mux.Handle("GET /readyz", check("ready", s.Source.Ready))
	mux.Handle("GET /healthz", check("alive", pulse.check))
	return mux
}

// check returns a handler that answers with good, or with 503 and what is wrong.
func check(good string, f func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerTime)
		defer cancel()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := f(ctx); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintln(w, err)
			return
		}
		_, _ = fmt.Fprintln(w, good)
	})
}

// pulse tells whether the tunnel still answers.
type pulse struct {
	source Source
	turn   chan struct{} // taken while the tunnel is asked
}

// check returns an error if the tunnel does not answer before ctx ends. At most
// one question waits for an answer, however many ask.
func (p pulse) check(ctx context.Context) error {
	answered := make(chan struct{})
	select {
	case p.turn <- struct{}{}:
		go func() {
			p.source.Status()
			close(answered)
			<-p.turn
		}()
	case <-ctx.Done():
		return fmt.Errorf("the tunnel has not answered an earlier question for more than %v", answerTime)
	}
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the tunnel has not answered within %v", answerTime)
	}
}

// lines takes the log lines of net/http.
type lines struct{ logf logger.Logf }

func (l lines) Write(line []byte) (int, error) {
	l.logf("metrics: %s", strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}
