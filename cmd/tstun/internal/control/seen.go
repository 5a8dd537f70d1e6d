package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"tstun/policy"
	"tstun/tunnel"
)

// MaxPlanned bounds the flows in either list of an answer to POST /v1/policy/plan.
const MaxPlanned = 10_000

// SeenEnd is the last line of an answer to GET /v1/policy/seen.
type SeenEnd struct {
	Total int `json:"total"` // how many lines there were before
}

// seen tells of flows in the few words that policies are computed on.
func (s *Server) seen(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	q, failed := s.flowQuery(r, t)
	if failed != nil {
		return failed
	}
	all, err := t.Tunnel.Seen(q)
	if err != nil {
		return flowsError(err)
	}
	if !s.takeSnapshot(r.Context()) {
		return nil
	}
	defer s.giveSnapshot()
	out, n := newLongAnswer(w), 0
	for f := range all {
		out.line = append(appendSeen(out.line[:0], &f), '\n')
		if _, err := out.buf.Write(out.line); err != nil {
			return nil
		}
		n++
	}
	out.end(SeenEnd{n})
	return nil
}

// planPolicy tells what would become of flows by the policy in the body.
func (s *Server) planPolicy(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	text, failed := readPolicy(w, r) // first: who still sends may not see an answer
	if failed != nil {
		return failed
	}
	q, failed := s.flowQuery(r, t)
	if failed != nil {
		return failed
	}
	if q.Limit == 0 || q.Limit > MaxPlanned {
		q.Limit = MaxPlanned
	}
	if !s.takeSnapshot(r.Context()) {
		return nil
	}
	defer s.giveSnapshot()
	plan, err := t.Tunnel.PlanPolicy(text, r.URL.Query().Get("host"), q)
	if failed := flowsError(err); failed != nil {
		return failed
	}
	if err != nil {
		return &Error{Message: err.Error(), Hint: "nothing was changed", Code: http.StatusUnprocessableEntity}
	}
	answer(w, http.StatusOK, plan)
	return nil
}

// flowQuery reads the parameters of GET /v1/flows, but for follow.
func (s *Server) flowQuery(r *http.Request, t *Running) (q tunnel.FlowQuery, failed *Error) {
	if t == nil {
		return q, s.starting()
	}
	asked, err := parseFlowsQuery(r.URL.Query(), time.Now())
	if err != nil {
		return q, &Error{Message: err.Error(), Code: http.StatusBadRequest}
	}
	match, failed := matcher(&asked, t.Tunnel)
	return tunnel.FlowQuery{Match: match, Since: asked.Since, Limit: asked.Limit}, failed
}

// takeSnapshot waits for one of the places for answers about flows, and reports whether it
// has one before ctx ends. giveSnapshot gives it back.
func (s *Server) takeSnapshot(ctx context.Context) bool {
	select {
	case s.snapshots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Server) giveSnapshot() { <-s.snapshots }

// appendSeen appends to b what json.Marshal returns of s.
func appendSeen(b []byte, s *policy.Seen) []byte {
	b = append(append(append(b, `{"proto":"`...), s.Proto.String()...), '"')
	b = append(s.Src.AppendTo(append(b, `,"src":"`...)), '"')
	b = append(s.Dst.AppendTo(append(b, `,"dst":"`...)), '"')
	b = appendFlag(b, `,"outbound":true`, s.Outbound)
	b = appendFlag(b, `,"refused":true`, s.Refused)
	b = appendText(b, `,"peer":`, s.Peer)
	b = strconv.AppendUint(append(b, `,"packets":`...), s.Packets, 10)
	b = strconv.AppendUint(append(b, `,"bytes":`...), s.Bytes, 10)
	if !s.Last.IsZero() {
		b = appendTime(append(b, `,"last":"`...), s.Last)
	}
	return append(b, '}')
}

// Seen returns the flows that policies are computed on, as tunnel.Seen has them.
func (c *Client) Seen(ctx context.Context, q FlowsQuery) (all []policy.Seen, err error) {
	var end SeenEnd
	err = c.linesAndEnd(ctx, "/v1/policy/seen?"+q.values().Encode(), &end, func(text []byte) error {
		var s policy.Seen
		if err := json.Unmarshal(text, &s); err != nil {
			return fmt.Errorf("answer of tunnel %s: %w", c.Name, err)
		}
		all = append(all, s)
		return nil
	})
	return all, err
}

// PlanPolicy returns what would become of flows by a policy, as tunnel.PlanPolicy does.
func (c *Client) PlanPolicy(ctx context.Context, text []byte, policyHost string, q FlowsQuery) (p policy.Plan, err error) {
	v := q.values()
	if policyHost != "" {
		v.Set("host", policyHost)
	}
	return p, c.post(ctx, "/v1/policy/plan?"+v.Encode(), text, &p)
}
