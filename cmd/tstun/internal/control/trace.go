package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"tstun"
	"tstun/tunnel"
)

// Traces is the answer to POST /v1/trace.
type Traces struct {
	Flows []tunnel.Trace `json:"flows"` // one at least
}

// MaxTraces is how many flows a request may try, one after the other.
const MaxTraces = 8

// TraceQuery is what POST /v1/trace is asked.
type TraceQuery struct {
	// Src and Dst are addresses or names of the policy or of peers, Dst with a port.
	Src, Dst string
	// Proto is a name or a number, or empty for TCP.
	Proto string
	// Wait is how long each flow's answer is waited for, or 0 for
	// tunnel.DefaultTraceTime.
	Wait time.Duration
}

// Trace has each flow between two tried, and returns what came back.
func (c *Client) Trace(ctx context.Context, q TraceQuery) (a Traces, err error) {
	more := map[string]string{"proto": q.Proto}
	if q.Wait != 0 {
		more["timeout"] = q.Wait.String()
	}
	return a, c.post(ctx, "/v1/trace?"+flowQuery(q.Src, q.Dst, more), nil, &a)
}

func (s *Server) trace(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	q := r.URL.Query()
	var wait time.Duration
	if text := q.Get("timeout"); text != "" {
		var err error
		if wait, err = time.ParseDuration(text); err != nil || wait <= 0 || wait > tunnel.MaxTraceTime {
			return &Error{Message: fmt.Sprintf("timeout=%s: want a time up to %v, such as 3s", text, tunnel.MaxTraceTime), Code: http.StatusBadRequest}
		}
	}
	flows, err := t.Tunnel.FlowsBetween(q.Get("src"), q.Get("dst"), q.Get("proto"))
	if err == nil && len(flows) > MaxTraces {
		err = fmt.Errorf("%s to %s stands for %d flows: want at most %d to try", q.Get("src"), q.Get("dst"), len(flows), MaxTraces)
	}
	if err != nil {
		return &Error{Message: err.Error(), Hint: flowHint, Code: http.StatusBadRequest}
	}
	var answers Traces
	for _, f := range flows {
		traced, err := t.Tunnel.Trace(r.Context(), f, wait)
		if err != nil {
			return traceError(err)
		}
		answers.Flows = append(answers.Flows, traced)
	}
	answer(w, http.StatusOK, answers)
	return nil
}

// traceError returns the answer to a flow that could not be tried: but for what passes by
// itself, it is the flow's fault.
func traceError(err error) *Error {
	for _, passes := range []error{tunnel.ErrSinks, tstun.ErrQueueFull, os.ErrClosed, net.ErrClosed, context.Canceled} {
		if errors.Is(err, passes) {
			return &Error{Message: err.Error(), Hint: "try again later", Code: http.StatusServiceUnavailable}
		}
	}
	return &Error{Message: err.Error(), Hint: "a flow is traced where it begins; /v1/checks says what becomes of it elsewhere", Code: http.StatusBadRequest}
}
