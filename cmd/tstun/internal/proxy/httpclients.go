package proxy

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tstun/internal/relay"
)

// httpClient is the connection of a client, and its connections to servers.
type httpClient struct {
	conn      net.Conn
	transport *http.Transport
	accepted  bool // it holds a slot
	hijacked  bool // net/http no longer watches it
}

// httpClients are the open connections of clients.
type httpClients struct {
	ctx   context.Context // of Serve
	route route
	slots *slots

	mu   sync.Mutex // guards what follows, and fields of the clients
	open map[net.Conn]*httpClient

	running sync.WaitGroup // one for each in open
}

func newHTTPClients(ctx context.Context, r route, s *slots) *httpClients {
	return &httpClients{ctx: ctx, route: r, slots: s, open: make(map[net.Conn]*httpClient)}
}

type clientKey struct{}

func clientOf(r *http.Request) *httpClient {
	return r.Context().Value(clientKey{}).(*httpClient)
}

// add is an http.Server's ConnContext: it enters a connection.
func (h *httpClients) add(ctx context.Context, c net.Conn) context.Context {
	client := &httpClient{conn: c, transport: h.newTransport(), accepted: h.slots.take()}
	h.running.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[c] = client
	return context.WithValue(ctx, clientKey{}, client)
}

// note is an http.Server's ConnState.
func (h *httpClients) note(c net.Conn, state http.ConnState) {
	h.mu.Lock()
	client := h.open[c]
	if client != nil && state == http.StateHijacked {
		client.hijacked = true
	}
	h.mu.Unlock()
	switch {
	case client == nil:
	case state == http.StateNew && !client.accepted:
		relay.Reset(c)
	case state == http.StateClosed:
		h.remove(client)
	}
}

// handled follows each request. That of a hijacked connection is its last.
func (h *httpClients) handled(r *http.Request) {
	client := clientOf(r)
	h.mu.Lock()
	hijacked := client.hijacked
	h.mu.Unlock()
	if hijacked {
		client.conn.Close()
		h.remove(client)
	}
}

func (h *httpClients) remove(client *httpClient) {
	client.transport.CloseIdleConnections() // and no idle one is kept later
	h.mu.Lock()
	delete(h.open, client.conn)
	h.mu.Unlock()
	if client.accepted {
		h.slots.give()
	}
	h.running.Done()
}

// wait returns when all connections have ended.
func (h *httpClients) wait() { h.running.Wait() }

// newTransport returns what fetches for one client.
func (h *httpClients) newTransport() *http.Transport {
	return &http.Transport{
		DialContext:         h.dial,
		DisableCompression:  true, // the client's wish is passed on
		MaxIdleConns:        8,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     time.Minute,
		ReadBufferSize:      relay.SmallBuffer,
		WriteBufferSize:     relay.SmallBuffer,
	}
}

// dial opens a connection for a Transport, which lets dials go on when the
// request is over: the end of Serve ends them.
func (h *httpClients) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(h.ctx, cancel)
	defer stop()
	to, err := splitEndpoint(address)
	if err != nil {
		return nil, err
	}
	return h.route.dial(ctx, network, to)
}

// splitEndpoint reads host:port.
func splitEndpoint(address string) (Endpoint, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return Endpoint{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || host == "" {
		return Endpoint{}, &net.AddrError{Err: "want a host and a port from 0 to 65535", Addr: address}
	}
	return Endpoint{host, uint16(port)}, nil
}

// perClient uses the Transport of the client whose request it is.
type perClient struct{}

func (perClient) RoundTrip(r *http.Request) (*http.Response, error) {
	return clientOf(r).transport.RoundTrip(r)
}
