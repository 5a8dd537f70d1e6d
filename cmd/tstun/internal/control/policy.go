package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"tstun/tunnel"
)

// maxPolicy bounds the text of a policy that is sent, in bytes.
const maxPolicy = 16 << 20

// bodies are how long the body of a request may be, by path: 0 for most.
var bodies = map[string]int64{"/v1/policy/try": maxPolicy, "/v1/policy/plan": maxPolicy}

func (s *Server) policy(w http.ResponseWriter, _ *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	answer(w, http.StatusOK, t.Tunnel.PolicyText())
	return nil
}

func (s *Server) policyHistory(w http.ResponseWriter, _ *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	answer(w, http.StatusOK, t.Tunnel.PolicyHistory())
	return nil
}

// tryPolicy puts the policy in the body in force for a time.
func (s *Server) tryPolicy(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	within, err := time.ParseDuration(r.URL.Query().Get("within"))
	if err != nil {
		return &Error{Message: "within: " + err.Error(), Hint: "as in /v1/policy/try?within=60s", Code: http.StatusBadRequest}
	}
	text, failed := readPolicy(w, r)
	if failed != nil {
		return failed
	}
	if err := t.Tunnel.TryPolicy(text, within); err != nil {
		return &Error{Message: err.Error(), Hint: "what was in force stays in force", Code: http.StatusUnprocessableEntity}
	}
	return s.policy(w, r, t)
}

// readPolicy reads the policy in the body.
func readPolicy(w http.ResponseWriter, r *http.Request) ([]byte, *Error) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(readTimeout))
	text, err := io.ReadAll(io.LimitReader(r.Body, maxPolicy+1))
	_ = c.SetReadDeadline(time.Time{}) // at which the request would end
	switch {
	case err != nil:
		return nil, &Error{Message: "read the policy: " + err.Error(), Code: http.StatusBadRequest}
	case len(text) > maxPolicy:
		return nil, tooLong()
	}
	return text, nil
}

func tooLong() *Error {
	return &Error{Message: fmt.Sprintf("the policy has more than %d bytes", maxPolicy), Code: http.StatusRequestEntityTooLarge}
}

func (s *Server) confirmPolicy(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	return s.endTrial(w, r, t, Tunnel.ConfirmPolicy)
}

func (s *Server) rollBackPolicy(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	return s.endTrial(w, r, t, Tunnel.RollBackPolicy)
}

// endTrial ends the trial of a policy.
func (s *Server) endTrial(w http.ResponseWriter, r *http.Request, t *Running, end func(Tunnel) error) *Error {
	if t == nil {
		return s.starting()
	}
	err := end(t.Tunnel)
	switch {
	case errors.Is(err, tunnel.ErrNoTrial):
		return &Error{Message: err.Error(), Hint: "tstun policy apply FILE tries one", Code: http.StatusConflict}
	case err != nil:
		return &Error{Message: err.Error(), Code: http.StatusConflict}
	}
	return s.policy(w, r, t)
}

// Policy returns the text of the policy in force.
func (c *Client) Policy(ctx context.Context) (p tunnel.PolicyText, err error) {
	return p, c.get(ctx, "/v1/policy", &p)
}

// PolicyHistory returns what became of policies since the tunnel's start.
func (c *Client) PolicyHistory(ctx context.Context) (h tunnel.PolicyHistory, err error) {
	return h, c.get(ctx, "/v1/policy/history", &h)
}

// TryPolicy puts a policy in force for a time, as tunnel.TryPolicy does.
func (c *Client) TryPolicy(ctx context.Context, text []byte, within time.Duration) (p tunnel.PolicyText, err error) {
	return p, c.post(ctx, "/v1/policy/try?within="+url.QueryEscape(within.String()), text, &p)
}

// ConfirmPolicy ends the trial of a policy whose text the file has by now.
func (c *Client) ConfirmPolicy(ctx context.Context) (p tunnel.PolicyText, err error) {
	return p, c.post(ctx, "/v1/policy/confirm", nil, &p)
}

// RollBackPolicy ends the trial of a policy, and puts in force what was before.
func (c *Client) RollBackPolicy(ctx context.Context) (p tunnel.PolicyText, err error) {
	return p, c.post(ctx, "/v1/policy/rollback", nil, &p)
}

// post sends a body and reads one JSON document.
func (c *Client) post(ctx context.Context, path string, body []byte, into any) error {
	if len(body) > maxPolicy {
		return tooLong()
	}
	resp, err := c.send(ctx, "POST", path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("answer of tunnel %s: %w", c.Name, err)
	}
	return nil
}
