package control

import (
	"context"
	"net/http"
	"net/url"
	"sync"

	"tstun/tunnel"
)

// Checks is the answer to GET /v1/checks.
type Checks struct {
	Flows []tunnel.Explanation `json:"flows"` // one at least
}

const flowHint = "src is an address or a name, dst one with a port, such as 10.0.0.1:80"

// ChecksQuery is what GET /v1/checks is asked.
type ChecksQuery struct {
	// Src and Dst are addresses or names of the policy or of peers, Dst with a port.
	Src, Dst string
	// Proto is a name or a number, or empty for TCP.
	Proto string
	// Direction is "in", "out", or empty: then the addresses decide.
	Direction string
}

// Checks returns what each flow between two meets on its way.
func (c *Client) Checks(ctx context.Context, q ChecksQuery) (a Checks, err error) {
	v := flowQuery(q.Src, q.Dst, map[string]string{"proto": q.Proto, "direction": q.Direction})
	return a, c.get(ctx, "/v1/checks?"+v, &a)
}

// flowQuery returns the query of a flow, with those of more that are not empty.
func flowQuery(src, dst string, more map[string]string) string {
	v := url.Values{"src": {src}, "dst": {dst}}
	for name, value := range more {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v.Encode()
}

func (s *Server) checks(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	q := r.URL.Query()
	d, given, err := parseDirection(q)
	if err != nil {
		return &Error{Message: err.Error(), Code: http.StatusBadRequest}
	}
	flows, err := t.Tunnel.FlowsBetween(q.Get("src"), q.Get("dst"), q.Get("proto"))
	if err != nil {
		return &Error{Message: err.Error(), Hint: flowHint, Code: http.StatusBadRequest}
	}
	answers := Checks{make([]tunnel.Explanation, len(flows))}
	var asking sync.WaitGroup
	for i, f := range flows {
		direction := d
		if !given {
			direction = t.Tunnel.DirectionOf(f)
		}
		asking.Go(func() { answers.Flows[i] = t.Tunnel.Explain(r.Context(), direction, f) })
	}
	asking.Wait()
	answer(w, http.StatusOK, answers)
	return nil
}
