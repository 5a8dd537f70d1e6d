package proxy

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"tstun/internal/relay"
	"tstun/logger"
)

// HTTP is an HTTP proxy: CONNECT, and plain requests for http URLs (RFC 9110
// §9.3.6, RFC 9112 §3.2.2), WebSockets included. It adds no header that tells
// of itself or of the client. Names are resolved by the Network.
//
// A client's connections to servers are used for no other client: some
// authentication schemes hold for a connection.
type HTTP struct {
	Network     Network
	Credentials Credentials // zero: clients need no password (else RFC 7617)
	AllowOpen   bool        // listen elsewhere than on loopback without a password
	Limits      Limits
	Logf        logger.Logf // nil: nothing is logged
}

// idleHTTP is how long a client's connection waits between two requests.
const idleHTTP = 2 * time.Minute

// Serve serves the clients of l, which it closes, until ctx ends or l fails.
// The error is nil in the first case, and is an ErrOpen if AllowOpen is
// missing. An HTTP can serve many listeners at once.
func (p *HTTP) Serve(ctx context.Context, l net.Listener) error {
	if err := checkServer(l, p.Credentials, p.AllowOpen); err != nil {
		l.Close()
		return fmt.Errorf("http: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	h := newHTTPHandler(ctx, p)
	s := &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            h.limits.Handshake,
		IdleTimeout:                  idleHTTP,
		ConnContext:                  h.clients.add,
		ConnState:                    h.clients.note,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ErrorLog:                     log.New(logWriter{h.logf}, "", 0),
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is as wrong as any other
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	err := s.Serve(l)
	ended := ctx.Err() != nil
	cancel()
	s.Close()
	h.clients.wait()
	if ended {
		return nil
	}
	return fmt.Errorf("http: %w", err)
}

// logWriter takes the lines of net/http.
type logWriter struct{ logf logger.Logf }

func (w logWriter) Write(line []byte) (int, error) {
	w.logf("http: %s", strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

type httpHandler struct {
	route       route
	credentials Credentials
	limits      Limits
	logf        logger.Logf
	clients     *httpClients
	plain       httputil.ReverseProxy
}

func newHTTPHandler(ctx context.Context, p *HTTP) *httpHandler {
	h := &httpHandler{credentials: p.Credentials, limits: p.Limits.withDefaults(), logf: orDiscard(p.Logf)}
	h.route = route{p.Network, checkDestination, h.limits.Dial}
	h.clients = newHTTPClients(ctx, h.route, newSlots(h.limits.Connections, "http", h.logf))
	h.plain = httputil.ReverseProxy{
		Rewrite:       keepRequest,
		Transport:     perClient{},
		FlushInterval: -1,
		BufferPool:    bodyBuffers{},
		ErrorHandler:  writeFailure,
		ErrorLog:      log.New(logWriter{logger.Discard}, "", 0), // of broken transfers
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *httpHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.clients.handled(r)
	switch {
	case !h.authorized(r):
		w.Header().Set("Proxy-Authenticate", `Basic realm="tstun", charset="UTF-8"`)
		writeError(w, http.StatusProxyAuthRequired, "this proxy needs a username and a password")
	case r.Method == http.MethodConnect:
		h.connect(w, r)
	case !r.URL.IsAbs():
		writeError(w, http.StatusBadRequest, "this is a proxy: write the whole URL, such as http://host/path, in the request")
	case !strings.EqualFold(r.URL.Scheme, "http"):
		writeError(w, http.StatusBadRequest, "this proxy fetches http URLs: use CONNECT for "+r.URL.Scheme)
	default:
		h.plain.ServeHTTP(asSent{w}, r)
	}
}

func (h *httpHandler) authorized(r *http.Request) bool {
	if !h.credentials.required() {
		return true
	}
	// The standard library reads the same syntax from another header.
	as := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	username, password, ok := as.BasicAuth()
	return ok && h.credentials.match(username, password)
}

// keepRequest undoes what a reverse proxy changes and a forward proxy leaves
// alone. Headers for this hop are gone already.
func keepRequest(r *httputil.ProxyRequest) {
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
}

// asSent keeps net/http from guessing the type of a body that has none: to say
// which it is would overrule the client's own caution.
type asSent struct{ http.ResponseWriter }

func (w asSent) WriteHeader(status int) {
	if _, ok := w.Header()["Content-Type"]; !ok {
		w.Header()["Content-Type"] = nil
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (w asSent) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// bodyBuffers are the buffers in which bodies are copied.
type bodyBuffers struct{}

func (bodyBuffers) Get() []byte  { return relay.TakeLarge()[:] }
func (bodyBuffers) Put(b []byte) { relay.GiveLarge((*[relay.LargeBuffer]byte)(b)) }

// statuses are the codes for what a dial met. RFC 9110 §15.
var statuses = map[failure]int{
	failed:     http.StatusBadGateway,
	notAllowed: http.StatusForbidden,
	refused:    http.StatusBadGateway,
	timedOut:   http.StatusGatewayTimeout,
	noHost:     http.StatusBadGateway,
	noNetwork:  http.StatusBadGateway,
}

// writeFailure answers a request whose server could not be reached.
func writeFailure(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client is gone, or Serve ends
	}
	host := r.URL.Host
	writeError(w, statuses[failureOf(err)], host+": "+sentence(err))
}

func writeError(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }
