package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tstun/flow"
	"tstun/flowexpr"
	"tstun/flowlog"
	"tstun/tunnel"
)

// Limits of answers about flows, which may be long.
const (
	maxFlowAnswers = 4           // at once, each with a snapshot; others wait
	flowAnswerTime = time.Minute // of one that does not follow
	flowBuffer     = 64 << 10    // bytes
)

// FlowsQuery is what GET /v1/flows is asked. The zero value asks for all flows that are
// open or were refused within about the last minute.
type FlowsQuery struct {
	// Filter is an expression, as docs/expressions.md has it.
	Filter string
	// Dropped asks for refused flows alone.
	Dropped bool
	// Since, if it is set, asks for those as well that ended or were refused since.
	Since time.Time
	// Limit, if it is not 0, is as tunnel.FlowQuery has it.
	Limit int
	// Follow asks for what happens from now on, without an end, and of the flows
	// until now for those of Since alone.
	Follow bool
}

// values returns the query of the request.
func (q *FlowsQuery) values() url.Values {
	v := make(url.Values)
	set := func(name, value string, is bool) {
		if is {
			v.Set(name, value)
		}
	}
	set("filter", q.Filter, q.Filter != "")
	set("dropped", "", q.Dropped)
	set("since", q.Since.Format(time.RFC3339Nano), !q.Since.IsZero())
	set("limit", strconv.Itoa(q.Limit), q.Limit != 0)
	set("follow", "", q.Follow)
	return v
}

// parseFlowsQuery reads what values returns, and durations for times.
func parseFlowsQuery(v url.Values, now time.Time) (q FlowsQuery, err error) {
	q = FlowsQuery{Filter: v.Get("filter"), Dropped: v.Has("dropped"), Follow: v.Has("follow")}
	if text := v.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 {
			return q, fmt.Errorf("limit=%s: want a number from 1 on", text)
		}
	}
	if text := v.Get("since"); text != "" {
		q.Since, err = ParseSince(text, now)
	}
	return q, err
}

// ParseSince is ParseTime for what is called since.
func ParseSince(text string, now time.Time) (time.Time, error) { return ParseTime("since", text, now) }

// ParseTime reads a time, or how long ago it was: RFC 3339, "-10m" or "10m", or "now".
// what is what it is called in the error.
func ParseTime(what, text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago.Abs()), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("%s %q: want how long ago, such as -10m, or a time as RFC 3339 has it", what, text)
	}
	return t, nil
}

// FlowsEnd is the last line of an answer to GET /v1/flows that does not follow.
type FlowsEnd struct {
	Total tunnel.FlowTotal `json:"total"`
}

// flows tells of flows. What it holds for a client is a snapshot and a buffer.
func (s *Server) flows(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	q, err := parseFlowsQuery(r.URL.Query(), time.Now())
	if err != nil {
		return &Error{Message: err.Error(), Code: http.StatusBadRequest}
	}
	match, failed := matcher(&q, t.Tunnel)
	if failed != nil {
		return failed
	}
	if q.Follow {
		return s.followFlows(w, r, t, &q, match)
	}
	out := newLongAnswer(w)
	total, err := s.listFlows(r.Context(), t, &q, match, out)
	if failed = flowsError(err); failed != nil {
		return failed
	}
	if err == nil {
		out.end(FlowsEnd{total})
	}
	return nil
}

// flowsError returns the answer where no line of another one is out.
func flowsError(err error) *Error {
	if !errors.Is(err, tunnel.ErrNoRecords) {
		return nil
	}
	return &Error{Message: err.Error(), Hint: "let the tunnel keep records: it was started with --record-memory off, or by a program with a negative RecordMemory", Code: http.StatusConflict}
}

// listFlows writes a line for each flow.
func (s *Server) listFlows(ctx context.Context, t *Running, q *FlowsQuery, match func(*flowlog.Record) bool, out *longAnswer) (total tunnel.FlowTotal, err error) {
	list, err := t.Tunnel.Flows(tunnel.FlowQuery{Match: match, Since: q.Since, Limit: q.Limit})
	if err != nil {
		return total, err
	}
	if !s.takeSnapshot(ctx) {
		return total, ctx.Err()
	}
	defer s.giveSnapshot()
	for f := range list.All {
		if err = out.flow(f); err != nil {
			break
		}
	}
	return list.Total, err
}

// followFlows tells of flows as they begin, end and are refused, until the client or the
// tunnel ends.
func (s *Server) followFlows(w http.ResponseWriter, r *http.Request, t *Running, q *FlowsQuery, match func(*flowlog.Record) bool) *Error {
	watch, err := t.Tunnel.WatchFlows(match)
	if err != nil {
		return flowsError(err)
	}
	defer watch.Close()
	lines := newLines(w)
	if !q.Since.IsZero() {
		out := newLongAnswer(w)
		ended := func(r *flowlog.Record) bool { return r.Kind != flowlog.Updated && match(r) }
		if _, err := s.listFlows(r.Context(), t, q, ended, out); err != nil || out.flush() != nil {
			return nil
		}
	}
	for {
		f, err := watch.Next(r.Context())
		if err != nil || lines.write(&f) != nil {
			return nil
		}
	}
}

// matcher returns which records a query is about.
func matcher(q *FlowsQuery, t Tunnel) (func(*flowlog.Record) bool, *Error) {
	peers := make(map[string]flow.PeerID)
	for _, p := range t.Status().Peers {
		if p.Name != "" {
			peers[p.Name] = flow.NumberedPeer(p.ID)
		}
	}
	e, err := flowexpr.Compile(q.Filter, flowexpr.Options{Peers: peers, Records: true})
	if err != nil {
		return nil, &Error{Message: "filter: " + err.Error(), Hint: "it has tcpdump's words, such as \"tcp port 443 and not src net 10.0.0.0/8\", or \"dropped and peer NAME\"", Code: http.StatusBadRequest}
	}
	return func(r *flowlog.Record) bool {
		if q.Dropped && !r.Kind.IsRefused() {
			return false
		}
		s := subjectOf(r)
		return e.Match(&s)
	}, nil
}

// subjectOf returns what an expression is asked about a record.
func subjectOf(r *flowlog.Record) flowexpr.Subject {
	c := r.Connection()
	if x := &r.Refused; r.Kind.IsRefused() {
		s := flowexpr.Refused(c.Proto, c.Src, c.Dst, x.Direction, x.Reason)
		s.Peer = x.Peer
		return s
	}
	s := flowexpr.Flow(c.Proto, c.Src, c.Dst, r.Flow.Initiator)
	s.Peer = r.Flow.Peer
	return s
}

// longAnswer is an answer of JSON lines that go out as the buffer is full.
type longAnswer struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	buf   *bufio.Writer
	line  []byte // the last one
	until time.Time
}

func newLongAnswer(w http.ResponseWriter) *longAnswer {
	a := &longAnswer{w: w, c: http.NewResponseController(w), until: time.Now().Add(flowAnswerTime)}
	a.buf = bufio.NewWriterSize(writerFunc(a.out), flowBuffer)
	return a
}

// writerFunc is a function as an io.Writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// out writes what fills the buffer.
func (a *longAnswer) out(b []byte) (int, error) {
	a.w.Header().Set("Content-Type", linesType)
	at := time.Now().Add(writeTimeout)
	if at.After(a.until) {
		at = a.until
	}
	_ = a.c.SetWriteDeadline(at)
	return a.w.Write(b)
}

// flow writes the line of a flow.
func (a *longAnswer) flow(f *tunnel.Flow) error {
	a.line = append(appendFlow(a.line[:0], f), '\n')
	_, err := a.buf.Write(a.line)
	return err
}

func (a *longAnswer) flush() error { return a.buf.Flush() }

// end writes the last line. A client that is gone misses nothing.
func (a *longAnswer) end(v any) {
	_ = json.NewEncoder(a.buf).Encode(v)
	_ = a.flush()
}
