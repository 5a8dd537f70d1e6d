package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tstun"
	"tstun/capture"
	"tstun/filter"
	"tstun/flow"
	"tstun/flowexpr"
	"tstun/tunnel"
)

// Limits of captures.
const (
	captureWrite = time.Minute     // until a client that takes nothing is cut off
	captureEnd   = 2 * time.Second // for what waits at the end
	captureLook  = time.Millisecond
)

const pcapngType = "application/x-pcapng"

// The trailers of an answer to GET /v1/capture, which say what became of the packets.
const (
	writtenTrailer = "Tstun-Written"
	lostTrailer    = "Tstun-Lost"
)

// CaptureQuery is what GET /v1/capture is asked. The zero value asks for all packets,
// whole.
type CaptureQuery struct {
	Filter  string // an expression, as docs/expressions.md has it
	SnapLen int    // bytes of each packet; 0: all
	Count   uint64 // how many packets; 0: without an end
	// Since, if it is set, asks for packets that the tunnel has kept from then on, and then
	// for those that come, unless Until is set, which is before when. All are cut to what
	// is kept of a packet.
	Since, Until time.Time
}

func (q *CaptureQuery) values() url.Values {
	v := make(url.Values)
	if q.Filter != "" {
		v.Set("filter", q.Filter)
	}
	if q.SnapLen != 0 {
		v.Set("snaplen", strconv.Itoa(q.SnapLen))
	}
	if q.Count != 0 {
		v.Set("count", strconv.FormatUint(q.Count, 10))
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		v.Set("until", q.Until.Format(time.RFC3339Nano))
	}
	return v
}

func parseCaptureQuery(v url.Values, now time.Time) (q CaptureQuery, err error) {
	q.Filter = v.Get("filter")
	if text := v.Get("snaplen"); text != "" {
		if q.SnapLen, err = strconv.Atoi(text); err != nil || q.SnapLen < 1 || q.SnapLen > capture.DefaultSnapLen {
			return q, fmt.Errorf("snaplen=%s: want 1 to %d bytes", text, capture.DefaultSnapLen)
		}
	}
	if text := v.Get("count"); text != "" {
		if q.Count, err = strconv.ParseUint(text, 10, 64); err != nil || q.Count == 0 {
			return q, fmt.Errorf("count=%s: want a number from 1 on", text)
		}
	}
	if text := v.Get("since"); text != "" {
		if q.Since, err = ParseSince(text, now); err != nil {
			return q, err
		}
	}
	if text := v.Get("until"); text != "" {
		if q.Until, err = ParseTime("until", text, now); err != nil {
			return q, err
		}
	}
	return q, q.checkTimes()
}

// checkTimes refuses an end without a beginning before it.
func (q *CaptureQuery) checkTimes() error {
	if q.Until.IsZero() || !q.Since.IsZero() && q.Since.Before(q.Until) {
		return nil
	}
	return errors.New("until: want a since that is before it")
}

// capture writes packets as they pass, until the client ends its half of the connection,
// or count packets were written, or the tunnel ends.
func (s *Server) capture(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	q, err := parseCaptureQuery(r.URL.Query(), time.Now())
	if err != nil {
		return &Error{Message: err.Error(), Code: http.StatusBadRequest}
	}
	match, err := newPacketMatcher(q.Filter, t.Tunnel)
	if err != nil {
		return &Error{Message: "filter: " + err.Error(), Hint: "it has tcpdump's words, such as \"tcp port 443 and not src net 10.0.0.0/8\", or \"dropped and peer NAME\"", Code: http.StatusBadRequest}
	}
	begin := (*Server).observe
	if !q.Since.IsZero() {
		if t.History == nil {
			return &Error{Message: "the tunnel keeps no packets that have passed", Hint: "start it by tstun up --packet-memory 16MiB, which keeps the latest", Code: http.StatusConflict}
		}
		begin = (*Server).lookBack
	}
	out := &packets{w: w, c: http.NewResponseController(w)}
	names := t.Tunnel.PacketNames()
	options := capture.Options{SnapLen: q.SnapLen, Peer: names.Peer, Rule: names.Rule, Interface: s.name}
	// The header tells of the trailers, so they are named before anything is written.
	w.Header().Set("Content-Type", pcapngType)
	w.Header().Set("Trailer", writtenTrailer+", "+lostTrailer)
	c, wait, err := begin(s, t, out, options, &q, match)
	if err != nil {
		w.Header().Del("Trailer")
		return &Error{Message: err.Error(), Hint: "end one of them, or try again later", Code: http.StatusServiceUnavailable}
	}
	wait(r.Context())
	ctx, cancel := context.WithTimeout(context.Background(), captureEnd)
	defer cancel()
	out.end() // or a client that is stuck would hold the writer
	_ = c.Close(ctx)
	<-c.Done() // after the deadline no write goes on
	stats := c.Stats()
	w.Header().Set(writtenTrailer, strconv.FormatUint(stats.Written, 10))
	w.Header().Set(lostTrailer, strconv.FormatUint(stats.Lost, 10))
	return nil
}

// observe begins a capture of the packets that pass from now on. wait waits for its end.
func (s *Server) observe(t *Running, w io.Writer, o capture.Options, q *CaptureQuery, match *packetMatcher) (c *capture.Capture, wait func(context.Context), err error) {
	limit := newCounted(match, q.Count)
	o.Match = limit.match
	var late atomic.Pointer[capture.Capture] // nothing is written before there is a place for it
	stop, err := t.Tunnel.Observe(func(x *tstun.Observation) {
		if c := late.Load(); c != nil {
			c.Sink(x)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if c, err = capture.New(w, o); err != nil {
		stop()
		return nil, nil, err
	}
	late.Store(c)
	return c, func(ctx context.Context) { limit.wait(ctx, c); stop() }, nil
}

// lookBack begins a capture of packets that have passed, and then of those that come.
func (s *Server) lookBack(t *Running, w io.Writer, o capture.Options, q *CaptureQuery, match *packetMatcher) (c *capture.Capture, wait func(context.Context), err error) {
	if c, err = capture.New(w, o); err != nil {
		return nil, nil, err
	}
	x := capture.Excerpt{Since: q.Since, Until: q.Until, Count: q.Count}
	if match != nil {
		x.Match = match.kept
	}
	// Its errors are the end of the client, of its connection or of the tunnel.
	return c, func(ctx context.Context) { _ = t.History.Copy(ctx, c, x) }, nil
}

// packetMatcher says whether an expression is true of a packet.
type packetMatcher struct{ expr *flowexpr.Expr }

// newPacketMatcher returns nil, which stands for all packets, if expr is empty.
func newPacketMatcher(expr string, t Tunnel) (*packetMatcher, error) {
	if expr == "" {
		return nil, nil
	}
	e, err := flowexpr.Compile(expr, flowexpr.Options{Peers: peerIDs(t.Status())})
	return &packetMatcher{e}, err
}

func (m *packetMatcher) observed(o *tstun.Observation) bool {
	s := flowexpr.Packet(o.Parsed(), directionOf(o.Inbound), o.Verdict)
	if m.expr.UsesPeer() {
		s.Peer = o.Peer()
	}
	return m.expr.Match(&s)
}

func (m *packetMatcher) kept(k *capture.Kept) bool {
	s := flowexpr.Packet(k.Packet, directionOf(k.Inbound), k.Verdict)
	s.Peer = k.Peer
	return m.expr.Match(&s)
}

func directionOf(inbound bool) filter.Direction {
	if inbound {
		return filter.Inbound
	}
	return filter.Outbound
}

// peerIDs returns the peers by their names.
func peerIDs(s tunnel.Status) map[string]flow.PeerID {
	ids := make(map[string]flow.PeerID)
	for _, p := range s.Peers {
		if p.Name != "" {
			ids[p.Name] = flow.NumberedPeer(p.ID)
		}
	}
	return ids
}

// counted matches a number of packets at most.
type counted struct {
	all   *packetMatcher // nil: every packet
	most  uint64         // 0: without a limit
	count atomic.Uint64
	full  chan struct{} // closed when most packets were matched
}

func newCounted(all *packetMatcher, most uint64) *counted {
	return &counted{all: all, most: most, full: make(chan struct{})}
}

// match implements capture.Options.Match.
func (l *counted) match(o *tstun.Observation) bool {
	if l.all != nil && !l.all.observed(o) {
		return false
	}
	if l.most == 0 {
		return true
	}
	n := l.count.Add(1)
	if n == l.most {
		close(l.full)
	}
	return n <= l.most
}

// wait waits until ctx or the capture ends, or it has all of the packets.
func (l *counted) wait(ctx context.Context, c *capture.Capture) {
	select {
	case <-ctx.Done():
		return
	case <-c.Done():
		return
	case <-l.full:
	}
	look := time.NewTicker(captureLook)
	defer look.Stop()
	for c.Stats().Seen < l.most { // what was matched is on its way into the ring
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		case <-c.Done():
			return
		}
	}
}

// packets is an answer of pcapng, each write of which goes out at once.
type packets struct {
	w http.ResponseWriter
	c *http.ResponseController

	mu    sync.Mutex // guards ended, and is held while a deadline is set
	ended bool
}

// end has what is written from now on, and what is being written, end soon.
func (p *packets) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	_ = p.c.SetWriteDeadline(time.Now().Add(captureEnd))
}

func (p *packets) Write(b []byte) (int, error) {
	p.mu.Lock()
	if !p.ended {
		_ = p.c.SetWriteDeadline(time.Now().Add(captureWrite))
	}
	p.mu.Unlock()
	n, err := p.w.Write(b)
	if err == nil {
		err = p.c.Flush()
	}
	return n, err
}

// Captured is what became of the packets of a capture.
type Captured struct {
	Written uint64 `json:"written"` // to the client
	Lost    uint64 `json:"lost"`    // for want of room, because the client was too slow
}

// Capture has each packet that passes from now on written to w as pcapng, until ctx
// ends, the query's count is reached or the tunnel ends. What was written is whole. An
// error of w ends it, and is returned; the end of ctx is none.
func (c *Client) Capture(ctx context.Context, q CaptureQuery, w io.Writer) (got Captured, err error) {
	conn, err := dial(c.path)
	if err != nil {
		return got, err
	}
	defer func() { _ = conn.Close() }() // all was read, or nobody wants more
	end := context.AfterFunc(ctx, func() {
		_ = conn.SetReadDeadline(time.Now().Add(captureEnd + time.Second))
		_ = conn.CloseWrite() // the tunnel writes what is left, and ends
	})
	defer end()
	req, err := http.NewRequest("GET", host+"/v1/capture?"+q.values().Encode(), nil)
	if err != nil {
		return got, err
	}
	if err := req.Write(conn); err != nil {
		return got, fmt.Errorf("ask tunnel %s: %w", c.Name, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return got, fmt.Errorf("ask tunnel %s: %w", c.Name, err)
	}
	// Close of the body would read what is still to come. The connection is closed.
	if resp.StatusCode != http.StatusOK {
		return got, failureOf(resp)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return got, err
	}
	var errs [2]error
	got.Written, errs[0] = strconv.ParseUint(resp.Trailer.Get(writtenTrailer), 10, 64)
	got.Lost, errs[1] = strconv.ParseUint(resp.Trailer.Get(lostTrailer), 10, 64)
	if errors.Join(errs[:]...) != nil {
		return got, fmt.Errorf("tunnel %s ended without a word of what was lost", c.Name)
	}
	return got, nil
}
